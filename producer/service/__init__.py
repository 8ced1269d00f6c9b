"""The processes of a service: supervisor of workers, private Redis."""
