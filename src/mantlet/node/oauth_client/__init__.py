"""This node as a client of authorization servers: as whom it is registered, logins, and callers' own grants."""
