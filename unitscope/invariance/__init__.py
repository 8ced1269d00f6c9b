"""Invariance of features to shifts, scales and rotations of the image (paper, Fig. 5)."""
