"""Alembic migrations of the database. ``analyze db upgrade`` runs them."""
