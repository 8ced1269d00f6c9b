"""The images that fire each unit most (paper, Fig. 2)."""
