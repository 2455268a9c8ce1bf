"""`python -m bench.soak`: an hour of mixed load at 70 % of what a node did at its start, and what has grown by then."""
