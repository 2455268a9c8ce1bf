"""Sections whose names are promised and which this version understands but does not act on.

They are typed, so that a misspelt key in them is an error today as it will be later; `inert` tells whoever sets one.
Every section is absent by default: what is set stands out.
"""

from typing import Annotated, Any, Literal

import msgspec

from mantlet.core.secret import Secret

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Free = dict[str, Any]


class _Later(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The common manner of all sections."""


class RemoteAgentConfig(_Later, frozen=True, kw_only=True):
    """An A2A agent behind the node."""

    name: str
    agent_card_url: str
    description: str = ""
    ssl_verify: bool = True
    enabled: bool = True
    forward_identity: Literal["none", "exchange", "encrypt", "passthrough", "static", "user"] = "none"


class LlmRatesConfig(_Later, frozen=True, kw_only=True):
    """Limits on a provider of models."""

    requests_per_minute: int = 500
    tokens_per_minute: int = 1_000_000
    burst_limit: int = 50


class LlmConfig(_Later, frozen=True, kw_only=True):
    """Language models behind the node."""

    enabled: bool = False
    provider: str = "openai"
    base_url: str | None = None
    api_key: Secret | None = None
    model: str | None = None
    rate_limiting: LlmRatesConfig = LlmRatesConfig()


class ResourcesConfig(_Later, frozen=True, kw_only=True):
    """What a container may use, in Kubernetes' words."""

    cpu: str | None = None
    memory: str | None = None


class DaggerConfig(_Later, frozen=True, kw_only=True):
    """The Dagger engine."""

    enabled: bool = False
    mount_docker_socket: bool = False
    resource_limits: ResourcesConfig = ResourcesConfig()


class ExecutionConfig(_Later, frozen=True, kw_only=True):
    """Where tasks run."""

    default_engine: Literal["inprocess", "subprocess", "sandbox", "docker", "podman", "dagger"] = "subprocess"
    subprocess: Free = {}
    sandbox: Free = {}
    docker: Free = {}
    dagger: DaggerConfig = DaggerConfig()


class P2pSecurityConfig(_Later, frozen=True, kw_only=True):
    """Who is let into the mesh."""

    enabled: bool = True
    noise_enabled: bool = True
    private_key_path: str = "./var/keys/node.key"
    public_key_path: str = "./var/keys/node.pub"
    allow: list[str] = []
    network_key_file: str | None = None


class P2pConfig(_Later, frozen=True, kw_only=True):
    """The mesh."""

    enabled: bool = False
    host: str = "0.0.0.0"
    port: Port = 4001
    rendezvous: str | None = None
    enable_mdns: bool = True
    enable_dht: bool = True
    enable_relay: bool = True
    bootstrap_nodes: list[str] = []
    security: P2pSecurityConfig = P2pSecurityConfig()
    max_peer_connections: int = 200


class BackupConfig(_Later, frozen=True, kw_only=True):
    """Copies of the node's state."""

    path: str = "./var/backups"
    schedule: str | None = None
    keep: int = 7
    key_file: str | None = None
