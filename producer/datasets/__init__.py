"""Readers of the kinds of data set, whose results become rows of ``images`` and ``dataset_problems``."""
