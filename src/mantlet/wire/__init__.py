"""Bytes to core words and back, without IO."""
