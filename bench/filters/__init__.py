"""What the content filters find of what they should, and what of what they should not, on public corpora."""
