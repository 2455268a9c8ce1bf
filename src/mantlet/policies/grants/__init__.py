"""Consent at upstreams: asked for when it is missing, given on a page by the caller alone (spec 4.7; OAUTH-03)."""
