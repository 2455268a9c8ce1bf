"""Tokens of foreign issuers: any with discovery, several at once (spec 4.3)."""
