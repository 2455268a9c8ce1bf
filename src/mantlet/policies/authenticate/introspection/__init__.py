"""Tokens that only their issuer can read: it is asked (RFC 7662)."""
