"""What is answered instead when a server cannot (RES-02)."""
