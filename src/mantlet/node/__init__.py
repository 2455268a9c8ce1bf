"""One running node: its configuration, and what is built and served from it."""
