"""Export and import of a job as a tar file: its rows, its files, and the rows of its data set."""
