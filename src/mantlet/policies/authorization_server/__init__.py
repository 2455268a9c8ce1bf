"""The node's own authorization server, for clients whose issuer lacks what they need. Off unless configured."""
