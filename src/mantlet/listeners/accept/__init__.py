"""Taking connections: a seat first, then who it is for (PROXY protocol), then TLS, then the protocol spoken in it."""

from mantlet.listeners.accept.acceptor import BACKLOG, Accepted, Acceptor, Make
from mantlet.listeners.accept.seats import RESTED_S, Seat, Seats

__all__ = ["BACKLOG", "RESTED_S", "Accepted", "Acceptor", "Make", "Seat", "Seats"]
