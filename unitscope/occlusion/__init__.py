"""Occlusion sweeps (paper, section 4.2 and Fig. 7)."""
