"""Correspondence of parts between images (paper, section 4.3 and Table 1)."""
