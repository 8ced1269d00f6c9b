"""Unit tests of studies."""
