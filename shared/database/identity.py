"""The identity of a database, which the artifact store carries too: rows and files belong together."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from shared.database.base import Base, utc_now


class DatabaseIdentity(Base):
    """The table's only row: a random UUID, created with the schema. Copies of a database keep it."""

    __tablename__ = "database_identity"

    uuid: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


def identity(session: Session) -> str:
    """Return the UUID of the database."""
    return session.scalars(select(DatabaseIdentity.uuid)).one()
