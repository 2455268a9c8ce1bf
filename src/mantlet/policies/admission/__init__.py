"""Who gets a place at a server, who waits for one, and who is turned away first (RES-04)."""
