"""Filters of convolutions (paper, section 4.1 and Fig. 6): their statistics, and which are dead or dominate."""
