"""Generators of small data sets and files of weights, as annotation tools, archives and trainings leave them."""
