"""What is kept beside the process: the store that nodes share, and the database of what outlives them."""
