"""One folder a concept: its config section, its pure deciders, its thin shell."""
