"""The method names of both eras and what each acts on (schema 2026-07-28 and 2025-11-25)."""

from collections.abc import Mapping
from typing import Any, Final

MODERN_VERSIONS: Final = ("2026-07-28",)
LEGACY_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LATEST_LEGACY: Final = LEGACY_VERSIONS[0]

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_INFO: Final = "io.modelcontextprotocol/clientInfo"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

NAMED_BY: Final[Mapping[str, str]] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods whose target is mirrored in `Mcp-Name`, and the member of params that holds it."""

_TARGET_OF: Final[Mapping[str, str]] = {
    **NAMED_BY,
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
    "tasks/result": "taskId",
}

TASK_METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel", "tasks/result"})
"""Methods that act on one task."""

_REFERENCES: Final = {"ref/prompt": ("prompts/get", "name"), "ref/resource": ("resources/read", "uri")}

LISTS: Final[Mapping[str, str]] = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""List methods and the member of the result that holds the list."""

_SHARED: Final = frozenset(
    {"tools/call", "prompts/get", "resources/read", "completion/complete", "tasks/get", "tasks/cancel", *LISTS}
)
MODERN_ONLY: Final = frozenset({"server/discover", "subscriptions/listen", "tasks/update"})
MODERN_METHODS: Final = _SHARED | MODERN_ONLY
LEGACY_METHODS: Final = _SHARED | {
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/result",
    "tasks/list",
}
LEGACY_NOTIFICATIONS: Final = frozenset(
    {
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "notifications/tasks/status",
    }
)
MODERN_NOTIFICATIONS: Final = frozenset({"notifications/cancelled"})
"""None is defined for HTTP; `cancelled` is stdio's."""


def has_target(method: str) -> bool:
    """Whether `method` acts on something that its params must name."""
    return method in _TARGET_OF or method == "completion/complete"


def target_of(method: str, params: Mapping[str, Any]) -> str:
    """What `method` acts on: a tool's or prompt's name, a resource's URI, a task's id; empty when it has no target."""
    member = _TARGET_OF.get(method)
    if member is not None:
        value = params.get(member)
        return value if type(value) is str else ""
    if method == "completion/complete":
        return reference_of(params)[1]
    return ""


def reference_of(params: Mapping[str, Any]) -> tuple[str, str]:
    """What a completion is for: the method that would use it, and its name or URI; two empty texts when unclear.

    The `type` decides, as it does for the server: a reference with both a name and a URI must not be judged by one
    and answered by the other.
    """
    reference = params.get("ref")
    if type(reference) is dict:
        method, member = _REFERENCES.get(str(reference.get("type")), ("", ""))
        value = reference.get(member)
        if type(value) is str:
            return method, value
    return "", ""


def is_known(method: str, era: str) -> bool:
    """Whether the era's specification defines `method`, request or notification."""
    if era == "modern":
        return method in MODERN_METHODS or method in MODERN_NOTIFICATIONS
    return method in LEGACY_METHODS or method in LEGACY_NOTIFICATIONS
