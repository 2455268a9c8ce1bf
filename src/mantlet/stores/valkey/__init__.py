"""Valkey: a small pipelined client, the limits over it, and a server of our own."""
