"""Blocks of addresses as they are opened, and as the record hears of them."""

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal, State
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every
from mantlet.policies.addresses.blocks import SYNC_S
from mantlet.policies.addresses.policy import Addresses
from mantlet.policies.addresses.table import Block


def open_addresses(config: Config, state: State, journal: Journal, metrics: Metrics, tasks: Tasks) -> Addresses | None:
    """The policy, which hears of the blocks of others from now on; None where the section is absent."""
    if config.addresses is None:
        return None

    def tell(source: str, block: Block) -> None:
        notes = {"reason": block.reason, "seconds": f"{block.until_s - block.since_s:g}", "times": str(block.times)}
        tasks.start(note(journal, SYSTEM, "address.blocked", object=source, notes=notes), "address.blocked")

    doors = (config.http, config.websocket, config.tcp)
    proxies = [text for door in doors for text in door.trusted_proxies]
    addresses = Addresses(config.addresses, state, SYSTEM, proxies=proxies, tell=tell)
    metrics.gauge(  # every process knows all of them
        "mantlet_addresses_blocked", "Addresses that are blocked", lambda: len(addresses.blocks.in_force()), "max"
    )
    tasks.start(every(SYNC_S, addresses.blocks.sync), "blocks.sync")
    return addresses
