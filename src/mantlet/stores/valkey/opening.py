"""Which client a URL asks for."""

from collections.abc import Callable

from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.address import parse
from mantlet.stores.valkey.client import TIMEOUT_S, Client, ValkeyClient


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
    make: Callable[..., Client] = ValkeyClient
    if place.kind == "sentinel":  # most have neither: they need not wait for these
        from mantlet.stores.valkey.sentinel import SentinelClient

        make = SentinelClient
    elif place.kind == "cluster":
        from mantlet.stores.valkey.cluster import ClusterClient

        make = ClusterClient
    return make(place, access=access or Access(), chance=chance, on_error=on_error, timeout_s=timeout_s, slow_s=slow_s)
