"""TLS of any listener: its contexts, its certificates while they are renewed, and who shows one to us."""

from mantlet.listeners.tls.config import Authority, TlsConfig
from mantlet.listeners.tls.context import open_context
from mantlet.listeners.tls.served import Certificates, Served, Tell

__all__ = ["Authority", "Certificates", "Served", "Tell", "TlsConfig", "open_context"]
