"""Care of a service: backup, garbage collection, verification, metrics, checks."""
