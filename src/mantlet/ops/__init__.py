"""What operators do around a node: talk to a running one, and more as it comes."""
