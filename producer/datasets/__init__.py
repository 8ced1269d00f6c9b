"""The kinds of data set: what is read from disk becomes rows of ``images`` and ``dataset_problems``."""
