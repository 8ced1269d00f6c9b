"""Commands that run a service and take care of it."""
