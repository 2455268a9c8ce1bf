"""What outlives a process: one schema, in a file of SQLite or in PostgreSQL."""
