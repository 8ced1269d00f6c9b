"""Answering: the Celery application, the job kinds and the vision code."""
