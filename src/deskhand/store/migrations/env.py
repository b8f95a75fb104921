"""Where Alembic begins: on the connection and in the transaction it is given, never on one of its own."""

from __future__ import annotations

from alembic import context

from deskhand.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
