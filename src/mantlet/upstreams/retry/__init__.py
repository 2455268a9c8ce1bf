"""A call that may be made again is, within a budget and its one deadline (RES-03)."""
