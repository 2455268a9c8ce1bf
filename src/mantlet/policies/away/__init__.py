"""A browser that is sent to another authorization server, and comes back (OAUTH-03, OAUTH-04)."""
