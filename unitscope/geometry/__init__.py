"""Receptive fields, chains of modules, and windows of feature maps."""
