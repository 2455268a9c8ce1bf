"""A node of several processes: the supervisor, the workers, and what lies between them."""
