"""Identities that another node forwards to this one, or to a program with `mantlet.embed` (spec 4.7; FWD-02)."""
