"""The vision code: tensors, modules and images in, tensors and pictures out.

Nothing here knows of jobs, Celery or SQL, so all of it can be used from a notebook.
"""
