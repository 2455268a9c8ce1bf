"""The outermost step: one audit record per request, before its answer leaves."""
