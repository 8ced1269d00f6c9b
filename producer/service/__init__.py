"""Processes of the service: the supervisor of the workers, and the private Redis."""
