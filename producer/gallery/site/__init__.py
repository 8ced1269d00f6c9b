"""Pages of a job as files, which open by double click and can be put on any web server."""
