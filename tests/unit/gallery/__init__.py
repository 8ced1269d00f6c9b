"""Tests of the gallery's pages."""
