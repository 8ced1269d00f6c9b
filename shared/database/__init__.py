"""The database: connection, schema, the tables of data sets and networks, and their registry."""
