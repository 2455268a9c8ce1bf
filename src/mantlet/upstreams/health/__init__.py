"""Whether what is behind the node is well: what is known of it, and how that is found out."""
