"""The kinds of job, one folder each: request, command, results, page, and the descriptor ``KIND``."""
