"""How much: sliding windows per caller, in all, and per route."""
