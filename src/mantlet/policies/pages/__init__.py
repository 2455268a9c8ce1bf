"""What steps for browsers have in common: pages without scripts, and forms read in one way."""
