"""Alembic's environment: runs the migrations on the connection that ``shared.database.schema`` provides."""

from alembic import context

from shared.database.base import Base
from shared.kinds.registry import kinds

kinds()  # registers the tables of all kinds
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
