"""What the gateway costs, measured against direct and against others in one interleaved run: `python -m bench`."""
