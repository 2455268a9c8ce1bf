"""The doors: bytes in, an `Arrival` on, a `Reply` back, bytes out."""
