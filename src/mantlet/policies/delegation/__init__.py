"""Calls that somebody makes for another: how many may act for one another, who, and how much they may do (AUTHZ-10)."""
