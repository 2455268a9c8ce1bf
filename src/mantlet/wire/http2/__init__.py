"""What HTTP/2 lets a peer send, looked at before any library does. Pure, and of no library."""
