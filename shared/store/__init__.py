"""The artifact store, and the database's references to its files."""
