"""Cost of jobs before they are submitted: files, bytes, and time."""
