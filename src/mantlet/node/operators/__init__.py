"""What those who run a node can ask of it and order: the admin API over all of its processes."""
