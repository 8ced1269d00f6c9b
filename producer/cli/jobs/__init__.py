"""Commands that submit, watch and control jobs."""
