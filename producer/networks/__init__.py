"""The network that an analysis is of, and its description, which the worker's code works out."""
