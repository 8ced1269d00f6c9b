"""Linear probes: classifiers on the features of a network's layers (paper, Table 7)."""
