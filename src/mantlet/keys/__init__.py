"""Key material: files, signing and verifying keys, issued tokens, sealed text."""
