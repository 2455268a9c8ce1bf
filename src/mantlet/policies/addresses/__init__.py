"""Who may connect at all: lists, and blocks of addresses that misbehave (RATE-07)."""
