"""One process of a node: everything it needs is opened here and joined, once."""
