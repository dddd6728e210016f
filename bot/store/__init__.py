"""The archive shell: SQLite through mautrix.util.async_db."""
