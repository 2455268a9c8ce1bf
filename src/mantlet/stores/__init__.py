"""Ports made real: where state lives."""
