"""Tests of access control: passwords, TLS, file permissions, forged messages, and the report of `analyze
doctor`."""
