"""Shapes that users already have: the `mcpServers` object of MCP clients, servers that name no transport."""

import re
from dataclasses import replace
from typing import Any, Final

from mantlet.node.config.oauth_file import moved
from mantlet.node.config.problem import Problem, dotted
from mantlet.node.config.tree import EMPTY, Node, with_value, without

MCP_SERVERS: Final = "mcpServers"
_TRANSPORTS: Final = {"streamable-http": "http", "streamableHttp": "http", "ws": "websocket"}
_BY_KEY: Final = {"url": "http", "endpoints": "http", "command": "stdio", "object": "python", "port": "tcp"}
_LEVELS: Final = {"WARN": "WARNING", "TRACE": "DEBUG", "FATAL": "ERROR", "CRITICAL": "ERROR"}
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


def adopted(tree: Node, problems: list[Problem]) -> Node:
    """A file's tree with `mcpServers` turned into `mcp.servers`, every server's transport told, and the sections of
    `oauth_config.yaml` at their places."""
    tree = _with_level(moved(tree, problems))
    if MCP_SERVERS in tree.mapping:
        tree = _with_servers(tree, tree.mapping[MCP_SERVERS], problems)
    servers = tree.mapping.get("mcp", EMPTY).mapping.get("servers")
    if servers is None or not isinstance(servers.value, list):
        return tree
    told = Node([with_transport(_with_command(server)) for server in servers.value], servers.origin)
    return with_value(tree, ("mcp", "servers"), told)


def with_transport(server: Node) -> Node:
    """A server with `url` speaks HTTP (or what its scheme says), one with `command` stdio, unless it says otherwise."""
    given = server.mapping
    if "transport" in given or not isinstance(server.value, dict):
        return server
    word = next((transport for key, transport in _BY_KEY.items() if key in given), "")
    if "url" in given and str(given["url"].value).startswith(("ws://", "wss://")):
        word = "websocket"
    return with_value(server, ("transport",), Node(word, server.origin)) if word else server


def _with_level(tree: Node) -> Node:
    """`logging.level` in any case, as other loggers take it."""
    level = tree.mapping.get("logging", EMPTY).mapping.get("level")
    if level is None or not isinstance(level.value, str):
        return tree
    word = level.value.upper()
    return with_value(tree, ("logging", "level"), replace(level, value=_LEVELS.get(word, word)))


def _with_servers(tree: Node, foreign: Node, problems: list[Problem]) -> Node:
    rest = without(tree, MCP_SERVERS)
    own = rest.mapping.get("mcp", EMPTY).mapping.get("servers", Node([]))
    if not isinstance(foreign.value, dict):
        problems.append(Problem("must be a mapping of servers by name", MCP_SERVERS, foreign.origin))
        return rest
    servers = list(own.value) if isinstance(own.value, list) else []
    for name, server in foreign.value.items():
        if isinstance(server.value, dict):
            servers.append(_server(name, server))
        else:
            problems.append(Problem("must be a mapping", dotted((MCP_SERVERS, name)), server.origin))
    return with_value(rest, ("mcp", "servers"), Node(servers, foreign.origin))


def _server(name: str, server: Node) -> Node:
    members = dict(server.mapping)
    members["name"] = Node(server_name(name), server.origin)
    if "type" in members:  # VS Code's word for the transport
        kind = members.pop("type")
        members["transport"] = replace(kind, value=_TRANSPORTS.get(str(kind.value), kind.value))
    return _with_command(Node(members, server.origin, {**server.keys, "name": server.origin}))


def _with_command(server: Node) -> Node:
    """A program and its `args` as the one list of words that they are."""
    command = server.mapping.get("command")
    if command is None or isinstance(command.value, list):
        return server
    arguments = server.mapping.get("args", Node([]))
    words = list(arguments.value) if isinstance(arguments.value, list) else [arguments]
    return with_value(without(server, "args"), ("command",), Node([command, *words], command.origin))


def server_name(name: str) -> str:
    """A name that may stand in a path and before `__`: clients allow blanks and more."""
    return re.sub(r"_{2,}", "_", _NOT_A_NAME.sub("-", name)).strip("-") or "server"


def servers_of(document: Any) -> Any:
    """The `mcpServers` object of a client's file; VS Code calls it `servers`, and some files are the object itself."""
    if not isinstance(document, dict):
        return None
    for key in (MCP_SERVERS, "servers"):
        if isinstance(document.get(key), dict):
            return document[key]
    mcp = document.get("mcp")
    return mcp["servers"] if isinstance(mcp, dict) and isinstance(mcp.get("servers"), dict) else None
