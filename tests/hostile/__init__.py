"""Tests of untrusted input: malformed files, texts and messages are recorded as problems or give a clear error."""
