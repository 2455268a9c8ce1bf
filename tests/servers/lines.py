"""A stdio server of few lines, for tests: answers at once, and misbehaves when asked. No SDK, starts in 30 ms.

    lines.py [--era modern|late-modern|legacy|silent-probe|dies-at-probe|exits|refuses|picky|mute]

Tools: `echo` gives its arguments back; `hold` answers only when `release` is called; `grandchild` starts a process and
gives its pid, `daemon` one with a session of its own; `garbage` and `big` write broken lines first; `exit` ends without
an answer; `deaf` stops reading; `twice` answers two times; `progress` and `log` notify; `ask` sends requests and waits
for nothing; `elicit` asks the client (`method`, `params`) and answers with its answer; `unask` takes that back; `say`
sends messages as they are given; `hello` tells what the client said of itself.
"""

# ruff: noqa: A002 - ids are called id
import json
import os
import resource
import subprocess
import sys
import time

ERA = sys.argv[sys.argv.index("--era") + 1] if "--era" in sys.argv else "legacy"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
held = []
seen = []
notes = []
asked = {}
hello = {}
MODERN = ERA in ("modern", "late-modern")


def say(message):
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))) + "\n")
    sys.stdout.flush()


def answer(id, result):
    say({"jsonrpc": "2.0", "id": id, "result": result})


def note(method, params):
    say({"jsonrpc": "2.0", "method": method, "params": params})


def text(value):
    return {"content": [{"type": "text", "text": json.dumps(value)}], "resultType": "complete"}


def tool(id, name, arguments, meta):
    token = meta.get("progressToken")
    if name == "hold":
        held.append((id, arguments, token))
        return
    if name == "release":
        for other, given, _ in reversed(held):
            answer(other, text(given))
        held.clear()
    elif name == "held_progress":
        for step, (_, given, other_token) in enumerate(held):
            note("notifications/progress", {"progressToken": other_token, "progress": step, "message": given["tag"]})
    elif name == "held_cancel":
        note("notifications/cancelled", {"requestId": held[0][0]})
    elif name in ("grandchild", "daemon"):
        process = subprocess.Popen(["sleep", "600"], start_new_session=name == "daemon")
        answer(id, text(process.pid))
        return
    elif name == "garbage":
        say("this is not JSON")
        say("[]")
        say('{"jsonrpc":"2.0","id":"x","result":{}}')
        say('{"jsonrpc":"2.0","id":999999,"result":{}}')
        sys.stdout.buffer.write(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}\n')
        say("")
    elif name == "big":
        answer(id, text("x" * arguments["size"]))
        return
    elif name == "exit":
        os._exit(arguments.get("code", 1))
    elif name == "last_words":
        answer(id, text("bye"))
        os._exit(0)
    elif name == "deaf":
        answer(id, text("deaf"))
        time.sleep(600)
    elif name == "twice":
        answer(id, text("once"))
        answer(id, text("twice"))
        return
    elif name == "progress":
        for step in range(arguments["steps"]):
            note("notifications/progress", {"progressToken": token, "progress": step})
    elif name == "log":
        note("notifications/message", {"level": "info", "data": arguments.get("data")})
    elif name == "updated":
        note("notifications/resources/updated", {"uri": arguments["uri"]})
        note("notifications/tools/list_changed", {})
    elif name == "ask":
        say({"jsonrpc": "2.0", "id": "p", "method": "ping"})
        say({"jsonrpc": "2.0", "id": "s", "method": "sampling/createMessage", "params": {}})
    elif name == "elicit":
        number = arguments.get("id", len(asked))
        asked[number] = id
        ask = {"jsonrpc": "2.0", "id": number, "method": arguments.get("method", "elicitation/create")}
        say({**ask, "params": arguments.get("params", {"message": "name?"})})
        return
    elif name == "unask":
        note("notifications/cancelled", {"requestId": arguments["id"]})
    elif name == "say":
        for message in arguments["messages"]:
            say(message)
    elif name == "hello":
        answer(id, text(hello))
        return
    elif name == "stderr":
        sys.stderr.write("line\n" * arguments["lines"])
        sys.stderr.flush()
    elif name == "seen":
        answer(id, text(seen))
        return
    elif name == "notes":
        answer(id, text(notes))
        return
    elif name == "env":
        answer(id, text(dict(os.environ)))
        return
    elif name == "rlimits":
        names = ("NOFILE", "DATA", "NPROC", "FSIZE", "CORE")
        answer(id, text({name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names}))
        return
    elif name == "allocate":
        bytearray(arguments["size"])
    elif name == "error":
        say({"jsonrpc": "2.0", "id": id, "error": {"code": arguments["code"], "message": "as asked"}})
        return
    answer(id, text(arguments))


def request(id, method, params):
    seen.append(method)
    meta = params.get("_meta", {})
    if method == "tools/call":
        tool(id, params["name"], params.get("arguments", {}), meta)
    elif method == "server/discover" and ERA == "late-modern" and seen.count(method) == 1:
        pass  # too late for whoever asked
    elif method == "initialize" and ERA == "late-modern":
        supported = {"supported": ["2026-07-28"], "requested": params["protocolVersion"]}
        say({"jsonrpc": "2.0", "id": id, "error": {"code": -32022, "message": "no handshake here", "data": supported}})
    elif method == "server/discover" and MODERN:
        answer(id, {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"})
    elif method == "server/discover" and ERA == "dies-at-probe":
        os._exit(9)
    elif (method == "server/discover" and ERA in ("silent-probe", "mute")) or (
        method == "initialize" and ERA == "mute"
    ):
        pass
    elif method == "initialize" and ERA == "picky" and "protocolVersion" not in params:
        say({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "Invalid params"}})
    elif method == "initialize" and ERA not in ("modern", "refuses"):
        hello.update(params)
        answer(
            id,
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}, "resources": {"subscribe": True}},
                "serverInfo": {"name": "lines", "version": "1"},
            },
        )
    elif method == "subscriptions/listen" and MODERN:
        own = {"_meta": {SUBSCRIPTION: id}}
        note("notifications/subscriptions/acknowledged", {**own, "notifications": params["notifications"]})
        note("notifications/tools/list_changed", own)
        if params["notifications"].get("ends"):
            answer(id, {"resultType": "complete", **own})
    elif method in ("resources/subscribe", "resources/unsubscribe", "logging/setLevel") and not MODERN:
        answer(id, {})
    else:
        say({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}})


def main():
    if ERA == "exits":
        sys.stderr.write("cannot run\n")
        sys.exit(4)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            request(message["id"], message["method"], message.get("params", {}))
        elif "method" not in message and message["id"] in asked:
            answer(asked.pop(message["id"]), text(message.get("result", message.get("error"))))
        else:
            notes.append(message)


main()
