"""The steps of the path as this node has them: each opened with what it needs."""
