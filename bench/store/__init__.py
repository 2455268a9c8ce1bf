"""The limits' shared store: what a decision costs, how exact it is, and what it is worth when the store fails."""
