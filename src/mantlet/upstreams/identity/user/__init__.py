"""`forward_identity: user`: each caller's own grant at an upstream, kept sealed and refreshed (spec 4.7; FWD-04)."""
