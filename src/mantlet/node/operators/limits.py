"""A client's limits, as an operator names the client."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from mantlet.core.ports import LimitKey
from mantlet.core.refusal import NotFound
from mantlet.policies.limits.client import PRINCIPAL, network_of
from mantlet.policies.limits.status import LimitsAdmin


class ClientLimits:
    """What the admin API does. `limits` gives those of the configuration in force."""

    def __init__(self, limits: Callable[[], LimitsAdmin]) -> None:
        self._limits = limits

    async def status(self, client: str) -> Mapping[str, Any]:
        """A client's windows."""
        return {"windows": [asdict(status) for status in await self._limits().status(client_key(client))]}

    async def reset(self, client: str) -> int:
        """Forget a client's windows."""
        return await self._limits().reset(client_key(client))


def client_key(client: str) -> LimitKey:
    """The key of a client as the audit names it: `tenant/issuer/subject`, or an address. Raises `NotFound`.

    An issuer that is a URL has slashes of its own: the subject then begins behind the last one.
    """
    tenant, slash, rest = client.partition("/")
    if not slash and _is_address(tenant):
        return network_of(tenant)
    issuer, slash, subject = rest.rpartition("/") if "://" in rest else rest.partition("/")
    if slash:
        return (PRINCIPAL, tenant, issuer, subject)
    raise NotFound("A client is TENANT/ISSUER/SUBJECT, as the audit names it, or an address.")


def _is_address(text: str) -> bool:
    """Whether it is one. A subject by itself is not: the windows of that name would be nobody's, and always full."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
