"""The documents that strangers may read."""
