"""Tasks of servers: an id leads its caller, and nobody else, to the task (AUTHZ-04)."""
