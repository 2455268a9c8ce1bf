"""Bytes out: what stands behind the node, and how calls reach it."""
