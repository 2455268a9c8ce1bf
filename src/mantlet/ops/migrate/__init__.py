"""From a development configuration to one that production starts with: what must change, and the overlay that does."""
