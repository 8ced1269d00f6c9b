"""The worker: the Celery application, the shard runner, and the stages of each kind of job."""
