"""A server whose channels one process of the node owns, for its sibling processes: whole calls over a Unix socket."""
