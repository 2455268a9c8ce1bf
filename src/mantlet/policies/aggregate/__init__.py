"""All servers as one, at `/mcp`: one list of names, each leading to one tool of one server."""
