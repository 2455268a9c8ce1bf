"""`oauth_config.yaml`, as users of existing systems have it: three sections, each under its environment's overlay.

    environments:
      production:
        oauth: {require_https: true}
        security: {validate_issuer: true, validate_audience: true, token_introspection: true}
        inter_agent_security: {force_https: true, certificate_validation: true, max_token_age: 3600,
                               encrypt_forwarded_tokens: true}

It is given as one of the `-c` files; each value is moved to Mantlet's own key and keeps the line it came from.
"""

from typing import Final

from mantlet.node.config.problem import Path, Problem, dotted, nearest
from mantlet.node.config.tree import Node, with_value, without

MOVES: Final[dict[str, dict[str, Path]]] = {
    "oauth": {"require_https": ("auth", "require_https")},
    "security": {
        "validate_issuer": ("auth", "validate", "issuer"),
        "validate_audience": ("auth", "validate", "audience"),
        "token_introspection": ("auth", "validate", "introspection"),
    },
    "inter_agent_security": {
        "force_https": ("inter_agent", "force_https"),
        "certificate_validation": ("inter_agent", "verify_certificates"),
        "max_token_age": ("inter_agent", "max_token_age"),
        "encrypt_forwarded_tokens": ("inter_agent", "encrypt_forwarded_tokens"),
    },
}


def moved(tree: Node, problems: list[Problem]) -> Node:
    """`tree` with the three sections gone and what they say at its place; a misspelt key in them is a problem.

    What stands at Mantlet's own key in the same file wins: it was written for Mantlet.
    """
    for name, keys in MOVES.items():
        section = tree.mapping.get(name)
        if section is None:
            continue
        tree = without(tree, name)
        if not isinstance(section.value, dict):
            problems.append(Problem("must be a mapping", name, section.origin))
            continue
        for key, value in section.value.items():
            if key in keys:
                tree = _put(tree, keys[key], value)
            else:
                origin = section.keys.get(key, section.origin)
                near = nearest(key, keys)
                allowed = "" if near else ", ".join(keys)
                problems.append(Problem("unknown key", dotted((name, key)), origin, "", allowed, near))
    return tree


def _put(tree: Node, path: Path, value: Node) -> Node:
    node: Node | None = tree
    for part in path:
        node = node.mapping.get(str(part)) if node is not None else None
    return tree if node is not None else with_value(tree, path, value)
