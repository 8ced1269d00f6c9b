"""Alembic migrations of the database, run by ``analyze db upgrade``."""
