"""Receptive fields, and networks as chains of modules."""
