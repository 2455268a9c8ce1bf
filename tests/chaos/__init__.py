"""Parts of a small cluster die and hang on a seeded schedule under load, and nothing that was promised breaks.

`make chaos`, or `python -m tests.chaos --seed 7 --seconds 300`.
"""
