"""Logging in at an issuer from the command line, and keeping what that gave (spec 4.4)."""
