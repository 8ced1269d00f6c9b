"""What Alembic runs: the migrations, on the connection that ``shared.database.schema`` hands over."""

from alembic import context

from shared.database.base import Base
from shared.kinds.registry import kinds

kinds()  # registers their tables
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
