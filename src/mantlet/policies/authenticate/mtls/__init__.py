"""Callers that identify themselves by a client certificate (TLS-02; spec 4.5)."""
