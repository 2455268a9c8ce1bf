"""Answers given again, and one call for all who ask the same at once (spec 8, CACHE-01 … CACHE-05)."""
