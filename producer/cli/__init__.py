"""The command line ``analyze``: one module for each group of commands."""
