"""Calls that wait for a human's yes: bound to who calls, what, and every argument; good for one call (AUTHZ-09)."""
