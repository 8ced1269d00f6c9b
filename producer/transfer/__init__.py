"""A job taken from one home to another: its rows, its files, and the rows of its data set, in one tar file."""
