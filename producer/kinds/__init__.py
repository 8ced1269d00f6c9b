"""The kinds of job, a folder each: request, command, results, page, and a descriptor, ``KIND``."""
