"""A channel for each session of a legacy client: what the server asks or tells has one client that it can concern."""
