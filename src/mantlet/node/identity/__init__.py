"""Who may call: the identity providers that a configuration names, and the node as one of them."""
