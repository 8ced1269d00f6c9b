"""Studies: named sets of jobs with labels, described in a TOML file, and the tables of their results."""
