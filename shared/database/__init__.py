"""The database: connection, schema, the tables of data sets and networks, and the registry over them."""
