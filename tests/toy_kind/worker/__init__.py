"""Stages of a brightness job, one module per stage."""
