"""Search for the images that activate each unit most (paper, Fig. 2)."""
