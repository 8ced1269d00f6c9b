"""The network of a job, and its description, which the worker's code computes."""
