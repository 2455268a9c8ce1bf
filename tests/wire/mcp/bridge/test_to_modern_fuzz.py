"""Whatever a server says is told, or refused; nothing else. MCP-07"""

import json
import random
from typing import Any, Final

from mantlet.core.refusal import Refusal
from mantlet.wire.mcp.bridge import to_modern_events as events
from mantlet.wire.mcp.bridge import to_modern_handshake as handshake
from mantlet.wire.mcp.bridge import to_modern_inputs as inputs
from mantlet.wire.mcp.bridge import to_modern_result as results

METHODS: Final = ["elicitation/create", "sampling/createMessage", "roots/list"]
NAMES: Final = [
    "error",
    "method",
    "params",
    "resultType",
    "tools",
    "outputSchema",
    "code",
    "data",
    "uri",
    "mode",
    "_meta",
]
VALUES: Final[list[Any]] = [*METHODS, "url", "\U0001f600", "", None, True, 0, 1.5, 10**30, -32602, -32020]


def anything(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 4 or kind < 0.4:
        return chance.choice(VALUES)
    if kind < 0.55:
        return [anything(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(NAMES): anything(chance, depth + 1) for _ in range(chance.randrange(6))}


def message(chance: random.Random) -> bytes:
    asked = {"method": chance.choice(METHODS), "params": anything(chance, 1)}
    result = {
        "resultType": chance.choice(["input_required", "complete"]),
        "inputRequests": {"k": chance.choice([asked, anything(chance)])},
        "requestState": anything(chance, 3),
        "tools": anything(chance),
        "structuredContent": anything(chance),
    }
    body = bytearray(json.dumps(chance.choice([{"result": result}, anything(chance)])).encode())
    if chance.random() < 0.1:
        body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


def test_ten_thousand_messages() -> None:
    chance = random.Random(7)
    told = asked = 0
    for _ in range(10_000):
        body = message(chance)
        try:
            outcome = results.translated(results.read(body), "tools/call", b"1")
            if isinstance(outcome, bytes):
                json.loads(outcome)
                told += 1
            else:
                questions = inputs.questions(outcome.requests)
                inputs.missing(questions, {"elicitation": {}})
                for question in questions:
                    json.loads(inputs.request(question, "i"))
                asked += 1
        except Refusal:
            pass
        events.read(body)
        inputs.response(body)
    assert told > 1_000
    assert asked > 500


def test_ten_thousand_discoveries() -> None:
    chance = random.Random(8)
    for _ in range(10_000):
        found = {"capabilities": anything(chance), "_meta": anything(chance), "instructions": anything(chance)}
        handshake.offers(handshake.capabilities_of(found))
        json.dumps(handshake.initialize_result(found, "2025-11-25", "s"))
