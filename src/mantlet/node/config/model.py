"""The whole configuration as one type. Its sections lie beside the concepts they configure; here they only meet.

Names are a promise: extend, do not rename. Durations are seconds, sizes bytes, unless a name says otherwise.
"""

from abc import ABC
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

from mantlet.events.config import AuditConfig, LoggingConfig, TelemetryConfig
from mantlet.keys.secrets.config import SecretsConfig
from mantlet.listeners.http.config import HttpConfig
from mantlet.listeners.sse.config import SseConfig
from mantlet.listeners.stdio.config import StdioConfig
from mantlet.listeners.tcp.config import TcpConfig
from mantlet.listeners.tls.config import TlsConfig
from mantlet.listeners.websocket.config import WebSocketConfig
from mantlet.node.config.inter_agent import InterAgentConfig
from mantlet.node.config.later import (
    BackupConfig,
    ExecutionConfig,
    LlmConfig,
    P2pConfig,
    RemoteAgentConfig,
)
from mantlet.policies.addresses.config import AddressesConfig
from mantlet.policies.aggregate.config import VirtualServerConfig
from mantlet.policies.authenticate.config import AuthConfig
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.cache.config import CacheConfig
from mantlet.policies.limits.config import LimitsConfig
from mantlet.policies.parse.config import McpLimits, ValidationConfig
from mantlet.policies.pins.config import PinsConfig
from mantlet.stores.config import StoreConfig
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.egress.config import EgressConfig
from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.openapi.config import OpenApiServerConfig
from mantlet.upstreams.transports.peer.config import PeerServerConfig
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.service.config import ServiceConfig
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.stdio.config import StdioServerConfig
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig

Environment: TypeAlias = Literal["development", "staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = ("development", "staging", "production")

if TYPE_CHECKING:
    McpServer: TypeAlias = (
        StdioServerConfig
        | HttpServerConfig
        | WebSocketServerConfig
        | TcpServerConfig
        | SseServerConfig
        | PythonServerConfig
        | OpenApiServerConfig
        | PeerServerConfig
    )
else:

    class McpServer(ABC):  # noqa: B024 - a type to be registered with, never made
        """One of `mcp.servers`. msgspec tells union members apart by a tag of its own making, and these carry theirs
        as an ordinary key; so it sees one foreign type, and `conform` picks the member by `transport`."""

        variants: ClassVar[tuple[type[msgspec.Struct], ...]] = (
            StdioServerConfig,
            HttpServerConfig,
            WebSocketServerConfig,
            TcpServerConfig,
            SseServerConfig,
            PythonServerConfig,
            OpenApiServerConfig,
            PeerServerConfig,
        )

    for _variant in McpServer.variants:
        McpServer.register(_variant)


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this node is."""

    name: str = "mantlet"
    version: str | None = None
    """Null means Mantlet's own version."""
    description: str = ""
    url: str | None = None
    """The public URL, used in metadata and challenges."""
    shared_dir: str = "./var/shared"
    """For artefacts of tasks; not used in this version."""
    max_concurrent_tasks: int = 20
    """Not used in this version."""
    task_timeout: float = 300
    """Not used in this version."""


class AdminConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The admin listener: health, metrics and the admin API."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 9501
    tls: TlsConfig = TlsConfig()


class McpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The MCP servers behind the node."""

    enabled: bool = True
    unknown_methods: Literal["deny", "allow"] = "deny"
    """Methods that no MCP revision names. `allow` only outside production; a rule must allow each even then."""
    limits: McpLimits = McpLimits()
    bridge: BridgeConfig = BridgeConfig()
    """How clients of one era of MCP reach servers of the other."""
    sse: SseConfig = SseConfig()
    advertise_load: bool = False
    """Answers tell how busy the node is (`endpoint-load-metrics`), for nodes before it with `balance: least_load`."""
    servers: list[McpServer] = []
    pins: PinsConfig = PinsConfig()
    virtual: list[VirtualServerConfig] = []

    def __post_init__(self) -> None:
        names = [server.name for server in self.servers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"mcp.servers: two servers are called {twice[0]!r}")
        for server in self.servers:
            for rule in server.fallback or ():
                if rule.server is not None and (rule.server == server.name or rule.server not in names):
                    raise ValueError(f"mcp.servers: {server.name}: fallback: there is no other server {rule.server!r}")
        views = [virtual.name for virtual in self.virtual]
        if twice := sorted({name for name in views if name in names or views.count(name) > 1}):
            raise ValueError(f"mcp.virtual: the name {twice[0]!r} is taken; servers and virtual servers share a path")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything. An absent environment means production (CFG-02)."""

    environment: Environment = "production"
    accept_risks: list[str] = []
    """What would be refused at start, accepted by name."""
    debug: bool = False
    """Stack traces and debug logs; refused in production."""
    agent: AgentConfig = AgentConfig()
    http: HttpConfig = HttpConfig()
    websocket: WebSocketConfig = WebSocketConfig()
    tcp: TcpConfig = TcpConfig()
    stdio: StdioConfig = StdioConfig()
    admin: AdminConfig = AdminConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    validation: ValidationConfig = ValidationConfig()
    authorization: AuthorizationConfig = AuthorizationConfig()
    store: StoreConfig = StoreConfig()
    database: DatabaseConfig = DatabaseConfig()
    mcp: McpConfig = McpConfig()
    audit: AuditConfig = AuditConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    logging: LoggingConfig = LoggingConfig()
    addresses: AddressesConfig | None = None
    inter_agent: InterAgentConfig = InterAgentConfig()
    egress: EgressConfig = EgressConfig()
    secrets: SecretsConfig = SecretsConfig()
    http_upstreams: list[ServiceConfig] = []
    cache: CacheConfig = CacheConfig()

    # Understood, not acted on in this version (see `later` and `inert`).
    remote_agents: list[RemoteAgentConfig] = []
    llm: LlmConfig | None = None
    execution: ExecutionConfig | None = None
    p2p: P2pConfig | None = None
    alerts: list[dict[str, Any]] = []
    backup: BackupConfig | None = None

    def __post_init__(self) -> None:
        names = [*(server.name for server in self.mcp.servers), *(service.name for service in self.http_upstreams)]
        if twice := sorted({service.name for service in self.http_upstreams if names.count(service.name) > 1}):
            raise ValueError(f"http_upstreams: the name {twice[0]!r} is taken; rules and limits tell servers by name")
        roots = [service.root for service in self.http_upstreams]
        if twice := sorted({root for root in roots if roots.count(root) > 1}):
            raise ValueError(f"http_upstreams: two services have the prefix {twice[0]}")

    def __repr__(self) -> str:
        # Not the members: a store's URL and a server's environment are text, and may hold a password (AUD-06).
        return f"Config(environment={self.environment!r})"
