"""The admin door: health, metrics and the API of those who run the node."""
