"""Runs revisions over the connection that SqlDatabase.migrate hands in."""

from alembic import context

from fleet_server.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
