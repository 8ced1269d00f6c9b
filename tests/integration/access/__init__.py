"""Access control: passwords, TLS, file permissions, untrusted messages, and the checks of `analyze doctor`."""
