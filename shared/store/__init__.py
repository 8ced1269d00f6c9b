"""The artifact store, and which rows refer to its files."""
