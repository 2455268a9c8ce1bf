"""Who is calling: credentials, tokens, keys."""
