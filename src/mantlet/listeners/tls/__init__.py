"""TLS of any listener: its contexts, its certificates while they are renewed, and who shows one to us."""

from mantlet.listeners.tls.config import TlsConfig
from mantlet.listeners.tls.context import context
from mantlet.listeners.tls.served import Certificates, Served, Tell

__all__ = ["Certificates", "Served", "Tell", "TlsConfig", "context"]
