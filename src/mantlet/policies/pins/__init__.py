"""Definitions held to what was approved: a changed, hidden or look-alike tool is quarantined (TOOL-01 … TOOL-03)."""
