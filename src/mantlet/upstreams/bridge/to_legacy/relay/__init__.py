"""A retry that came to another process than the one that holds the call (several workers, several nodes on a store).

The process that was asked sends the client's answers to the holder, which sends back what comes for the call: at most
so much unread, with a sign of life every few seconds, and a clear end when either process is gone or silent.
"""
