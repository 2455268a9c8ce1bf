"""Arguments and results held to the schemas that their tool is pinned with (VAL-03)."""
