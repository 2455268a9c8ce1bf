"""Which client a URL asks for."""

from collections.abc import Callable

from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import parse
from mantlet.stores.valkey.client import TIMEOUT_S, Client, ValkeyClient
from mantlet.stores.valkey.cluster import ClusterClient
from mantlet.stores.valkey.sentinel import SentinelClient


def make_client(
    url: str,
    access: Access | None = None,
    *,
    chance: Callable[[], float],
    on_error: Callable[[BaseException], None],
    timeout_s: float = TIMEOUT_S,
    slow_s: float | None = None,
) -> Client:
    """Of one server, of a cluster, or of the master that Sentinels name; not started. Raises `ValueError`.

    `slow_s`: a server whose answers all take longer is left alone until they do not.
    """
    place = parse(url)
    make = {"single": ValkeyClient, "sentinel": SentinelClient, "cluster": ClusterClient}[place.kind]
    client: Client = make(
        place, access=access or Access(), chance=chance, on_error=on_error, timeout_s=timeout_s, slow_s=slow_s
    )
    return client
