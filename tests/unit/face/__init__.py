"""Tests of the library's public functions."""
