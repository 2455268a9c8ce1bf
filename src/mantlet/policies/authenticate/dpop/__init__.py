"""Proof of possession beside a token (RFC 9449)."""
