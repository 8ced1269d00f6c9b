"""Who gets in: passwords, TLS, rights of files, what messages may say, what is told about all that."""
