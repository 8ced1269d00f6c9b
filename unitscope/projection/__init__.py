"""Projections of activations back to pixels (paper, section 2.1)."""
