"""Arguments that stand in headers too: both must say the same."""
