"""Runs revisions over the connection that SqlDatabase.migrate hands in, in its transaction.

Alembic would commit after each revision on SQLite, and another process would begin between two.
"""

from alembic import context

from fleet_server.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
