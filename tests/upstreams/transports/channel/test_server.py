"""A whole stdio server, with real children."""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import pytest
from tests.upstreams.transports.channel.conftest import Open
from tests.upstreams.transports.channel.support import (
    alive,
    call,
    events_of,
    initialize,
    messages,
    result_of,
    server_command,
    text_of,
    tool,
    until,
)

from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    EraUnavailable,
    InvalidRequest,
    NotAcceptable,
    Overloaded,
    SessionNotFound,
    UpstreamUnavailable,
)

MODERN = server_command("lines.py", "--era", "modern")
LEGACY = server_command("lines.py")
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


async def pid_of(server: Any) -> int:
    pid = (await server.health())["pid"]
    assert type(pid) is int
    return pid


async def test_a_modern_call(opened: Open) -> None:
    async with opened(MODERN) as server:
        reply = await server.send(tool("echo", {"a": 1}, id="mine"))
        assert reply.status == 200
        assert reply.header(b"content-type") == b"application/json"
        assert result_of(reply)["id"] == "mine"
        assert json.loads(text_of(reply)) == {"a": 1}
        assert server.eras() == {"modern"}
        assert (await server.health())["state"] == "healthy"


@pytest.mark.parametrize(
    ("code", "status"),
    [(-32601, 404), (-32602, 400), (-32600, 400), (-32020, 400), (-32021, 400), (-32603, 200), (7, 200)],
)
async def test_a_modern_error_gets_its_http_status(opened: Open, code: int, status: int) -> None:
    async with opened(MODERN) as server:
        assert (await server.send(tool("error", {"code": code}))).status == status


async def test_a_legacy_client_gets_a_session_of_its_own(opened: Open) -> None:
    """MCP-04"""
    async with opened(LEGACY) as server:
        session = await initialize(server)
        other = await initialize(server)
        assert session != other
        assert (
            await server.send(call("notifications/initialized", era="legacy", kind="notification", session=session))
        ).status == 202
        assert text_of(await server.send(tool("echo", {"a": 1}, era="legacy", session=session))) == '{"a": 1}'
        assert (await server.send(call("nope", era="legacy", session=session))).status == 200
        assert result_of(await server.send(call("ping", era="legacy", session=session))) == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {},
        }
        # Of all this the child saw one handshake.
        assert json.loads(text_of(await server.send(tool("seen", era="legacy", session=session)))) == [
            "server/discover",
            "initialize",
            "tools/call",
            "nope",
            "tools/call",
        ]
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=session, who="bob"))
        with pytest.raises(InvalidRequest):
            await server.send(tool("echo", era="legacy"))
        assert (await server.send(call("", era="legacy", kind="end", session=session))).status == 200
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=session))
        assert text_of(await server.send(tool("echo", era="legacy", session=other))) == "{}"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ],
)
async def test_initialize_negotiates_the_version(opened: Open, asked: str, given: str) -> None:
    async with opened(LEGACY) as server:
        reply = await server.send(call("initialize", {"protocolVersion": asked}, era="legacy"))
        assert result_of(reply)["result"]["protocolVersion"] == given
        assert result_of(reply)["result"]["serverInfo"]["name"] == "lines"


async def test_the_other_era_is_refused_clearly(opened: Open) -> None:
    async with opened(LEGACY) as server:
        with pytest.raises(EraUnavailable) as refused:
            await server.send(tool("echo"))
        assert refused.value.requested == "2026-07-28"
        assert "2025-11-25" in refused.value.supported
    async with opened(MODERN) as server:
        for _ in range(2):
            with pytest.raises(EraUnavailable) as refused:
                await initialize(server)
        assert refused.value.supported == ["2026-07-28"]
        assert (await server.health())["legacy"]["starts"] == 1
    async with opened(MODERN, max_children=1) as server:
        with pytest.raises(EraUnavailable, match="max_children"):
            await initialize(server)


@pytest.mark.parametrize("era", ["dies-at-probe", "silent-probe"])
async def test_a_legacy_server_that_cannot_stand_the_probe_is_opened_all_the_same(opened: Open, era: str) -> None:
    async with opened(server_command("lines.py", "--era", era), start_timeout=3.0) as server:
        if era == "dies-at-probe":
            with pytest.raises(UpstreamUnavailable):
                await initialize(server)
            await until(lambda: server.eras() == {"legacy"})
        assert await initialize(server)


async def test_a_modern_server_that_was_slow_at_the_probe_is_asked_again(opened: Open) -> None:
    """It refuses a handshake, as its process has taken the era of the probe, which it heard late."""
    async with opened(server_command("lines.py", "--era", "late-modern"), start_timeout=3.0) as server:
        assert text_of(await server.send(tool("echo"))) == "{}"
        assert server.eras() == {"modern"}
        assert (await server.health())["starts"] == 1


async def test_a_real_sdk_server_serves_both_eras_from_a_child_each(opened: Open) -> None:
    """A process on the SDK keeps to the era of its first request."""
    async with opened([sys.executable, "-m", "mcp_server_time"]) as server:
        reply = await server.send(tool("get_current_time", {"timezone": "UTC"}))
        assert json.loads(text_of(reply))["timezone"] == "UTC"
        session = await initialize(server)
        reply = await server.send(tool("get_current_time", {"timezone": "UTC"}, era="legacy", session=session))
        assert json.loads(text_of(reply))["timezone"] == "UTC"
        assert server.eras() == {"modern", "legacy"}


async def test_a_real_sdk_server_reports_progress_and_hears_cancellation(opened: Open, everything_script: Any) -> None:
    """MCP-07"""
    async with opened([sys.executable, str(everything_script), "--stdio"]) as server:
        reply = await server.send(tool("progress", {"steps": 3}, id="x", meta={"progressToken": "tok"}))
        told = await events_of(reply)
        assert [note["params"]["progress"] for note in told[:-1]] == [1, 2, 3]
        assert {note["params"]["progressToken"] for note in told[:-1]} == {"tok"}
        assert told[-1]["id"] == "x"
        sleeping = asyncio.ensure_future(server.send(tool("slow", {"seconds": 30, "tag": "s"})))

        async def witnessed(word: str) -> bool:
            return "s" in json.loads(text_of(await server.send(tool("witness"))))[word]

        async with asyncio.timeout(10):
            while not await witnessed("started"):
                pass
            sleeping.cancel()
            while not await witnessed("cancelled"):
                pass


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_thousand_clients_with_equal_ids_get_their_own_answers(opened: Open, era: str) -> None:
    """MCP-05, AUTHZ-08"""
    async with opened(MODERN if era == "modern" else LEGACY, max_pending=1001) as server:
        sessions = [await initialize(server, f"c{n}") if era == "legacy" else "" for n in range(1000)]

        async def one(n: int) -> Any:
            reply = await server.send(
                tool("hold", {"tag": n}, era=era, who=f"c{n}", session=sessions[n], meta={"progressToken": 7})
            )
            return await events_of(reply)

        await server.send(tool("echo", era=era, who="c0", session=sessions[0]))
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(one(n)) for n in range(1000)]
            await until(lambda: len(server._primary.link.mux) == 1000)
            await server.send(tool("held_progress", era=era, who="c0", session=sessions[0]))
            # All at once, and backwards.
            await server.send(tool("release", era=era, who="c0", session=sessions[0]))
        for n, task in enumerate(held):
            progress, answer = task.result()
            assert progress["params"] == {"progressToken": 7, "progress": n, "message": n}
            assert answer["id"] == 1
            assert json.loads(answer["result"]["content"][0]["text"]) == {"tag": n}


async def test_a_client_that_takes_no_stream_gets_the_answer_alone(opened: Open) -> None:
    async with opened(MODERN) as server:
        reply = await server.send(tool("progress", {"steps": 3}, meta={"progressToken": 1}, accept=b"application/json"))
        assert text_of(reply) == '{"steps": 3}'
        with pytest.raises(NotAcceptable):
            await server.send(call("subscriptions/listen", {"notifications": {}}, accept=b"application/json"))


async def test_a_log_message_comes_with_its_call(opened: Open) -> None:
    async with opened(LEGACY) as server:
        session = await initialize(server)
        told = await events_of(await server.send(tool("log", {"data": "d"}, era="legacy", session=session)))
        assert [message.get("method") for message in told] == ["notifications/message", None]


async def test_requests_of_the_server_are_answered_by_the_node(opened: Open) -> None:
    async with opened(LEGACY) as server:
        session = await initialize(server)
        await server.send(tool("ask", era="legacy", session=session))
        notes = json.loads(text_of(await server.send(tool("notes", era="legacy", session=session))))
        assert notes[0]["method"] == "notifications/initialized"
        assert {"jsonrpc": "2.0", "id": "p", "result": {}} in notes
        assert notes[-1]["error"]["code"] == -32601


async def test_a_subscription_streams_until_its_server_ends_it(opened: Open) -> None:
    async with opened(MODERN) as server:
        told = await events_of(
            await server.send(call("subscriptions/listen", {"notifications": {"ends": True}}, id="sub"))
        )
        assert [message.get("method") for message in told] == [
            "notifications/subscriptions/acknowledged",
            "notifications/tools/list_changed",
            None,
        ]
        assert {message.get("params", message.get("result"))["_meta"][SUBSCRIPTION] for message in told} == {"sub"}


async def test_closing_a_stream_cancels_upstream_and_frees_everything(opened: Open) -> None:
    """MCP-07"""
    async with opened(MODERN) as server:
        for _ in range(50):
            reply = await server.send(call("subscriptions/listen", {"notifications": {}}))
            await reply.body.aclose()
        assert len(server._primary.link.mux) == 0
        notes = json.loads(text_of(await server.send(tool("notes"))))
        assert [note["method"] for note in notes] == ["notifications/cancelled"] * 50


async def test_a_cancelled_task_cancels_upstream(opened: Open) -> None:
    """MCP-07"""
    async with opened(MODERN) as server:
        await server.send(tool("echo"))
        task = asyncio.ensure_future(server.send(tool("hold")))
        await until(lambda: len(server._primary.link.mux) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(server._primary.link.mux) == 0
        assert len(json.loads(text_of(await server.send(tool("notes"))))) == 1


async def test_a_deadline_ends_the_call_here_and_upstream(opened: Open) -> None:
    """RES-03"""
    async with opened(MODERN) as server:
        await server.send(tool("echo"))
        with pytest.raises(DeadlineExceeded):
            await server.send(tool("hold", timeout_s=0.05))
        assert len(json.loads(text_of(await server.send(tool("notes"))))) == 1
        assert (await server.send(tool("release"))).status == 200
        assert (await server.health())["dropped"]["late"] == 1


async def test_a_legacy_client_cancels_its_own_call_and_nobody_elses(opened: Open) -> None:
    async with opened(LEGACY) as server:
        mine, theirs = await initialize(server), await initialize(server, "bob")
        async with asyncio.TaskGroup() as group:
            held = group.create_task(server.send(tool("hold", {"n": 1}, id=5, era="legacy", session=mine)))
            kept = group.create_task(server.send(tool("hold", {"n": 2}, id=5, era="legacy", session=theirs, who="bob")))
            await until(lambda: len(server._primary.link.mux) == 2)
            cancel = call("notifications/cancelled", {"requestId": 5}, era="legacy", kind="notification", session=mine)
            assert (await server.send(cancel)).status == 202
            assert "error" in result_of(await held)
            await server.send(tool("release", era="legacy", session=mine))
        assert text_of(kept.result()) == '{"n": 2}'


async def test_what_a_legacy_server_tells_everyone_goes_to_the_right_streams(opened: Open) -> None:
    async with opened(LEGACY) as server:
        mine, theirs = await initialize(server), await initialize(server, "bob")
        streams = [
            await server.send(call("", era="legacy", kind="stream", session=session, who=who))
            for session, who in ((mine, "alice"), (theirs, "bob"))
        ]
        subscribe = {"uri": "a:b"}
        for _ in range(2):
            await server.send(call("resources/subscribe", subscribe, era="legacy", session=mine))
        await server.send(tool("updated", subscribe, era="legacy", session=mine))
        first, second = [messages(await anext(stream.body)) for stream in streams]
        assert [message["method"] for message in first] == [
            "notifications/resources/updated",
            "notifications/tools/list_changed",
        ]
        assert [message["method"] for message in second] == ["notifications/tools/list_changed"]
        await server.send(call("resources/subscribe", subscribe, era="legacy", session=theirs, who="bob"))
        await server.send(call("resources/unsubscribe", subscribe, era="legacy", session=mine))
        await server.send(call("", era="legacy", kind="end", session=theirs, who="bob"))
        seen = json.loads(text_of(await server.send(tool("seen", era="legacy", session=mine))))
        assert seen.count("resources/subscribe") == 1
        assert seen.count("resources/unsubscribe") == 1
        assert await events_of(streams[1]) == []  # it ended with its session
        await streams[0].body.aclose()


async def test_garbage_on_stdout_is_counted_and_survived(opened: Open) -> None:
    async with opened(MODERN) as server:
        assert text_of(await server.send(tool("garbage"))) == "{}"
        dropped = (await server.health())["dropped"]
        assert (dropped["garbage"], dropped["unknown"]) == (4, 2)
        await server.send(tool("twice"))
        await server.send(tool("echo"))
        assert (await server.health())["dropped"]["late"] == 1


async def test_an_answer_too_large_fails_its_call_at_once(opened: Open) -> None:
    async with opened(MODERN, max_line_bytes=10_000) as server:
        with pytest.raises(BadUpstream):
            await server.send(tool("big", {"size": 1_000_000}))
        assert text_of(await server.send(tool("big", {"size": 9000}))) == json.dumps("x" * 9000)


async def test_stderr_is_kept_bounded_and_logged(opened: Open, events: list[Any]) -> None:
    async with opened(MODERN, stderr_lines=5) as server:
        await server.send(tool("stderr", {"lines": 50_000}))
        await server.send(tool("echo"))
        assert set((await server.health())["stderr"]) == {"line"}
        assert len(server._primary._child.stderr) == 5
    assert 1 <= sum(event == "stdio.stderr" for event, _ in events) < 500


async def test_last_words_of_a_dying_server_are_heard(opened: Open) -> None:
    async with opened(MODERN) as server:
        assert text_of(await server.send(tool("last_words"))) == '"bye"'


async def test_kill_of_the_child_fails_its_calls_and_brings_another(opened: Open) -> None:
    """RES-06"""
    async with opened(MODERN) as server:
        grandchild = json.loads(text_of(await server.send(tool("grandchild"))))
        daemon = json.loads(text_of(await server.send(tool("daemon"))))
        pid = await pid_of(server)
        held = [asyncio.ensure_future(server.send(tool("hold"))) for _ in range(100)]
        listening = await server.send(call("subscriptions/listen", {"notifications": {}}, id=3))
        await until(lambda: len(server._primary.link.mux) == 101)
        os.kill(pid, signal.SIGKILL)
        results = await asyncio.gather(*held, return_exceptions=True)
        assert all(isinstance(result, BadUpstream) for result in results)
        assert (await events_of(listening))[-1]["error"]["code"] == 4502
        with pytest.raises(UpstreamUnavailable):
            await server.send(tool("echo"))
        await until(lambda: not any(map(alive, (pid, grandchild, daemon))))
        await until(lambda: server._primary.state == "healthy")
        assert text_of(await server.send(tool("echo"))) == "{}"
        assert await pid_of(server) != pid


async def test_sessions_outlive_the_child_and_subscribe_again(opened: Open) -> None:
    async with opened(LEGACY) as server:
        session = await initialize(server)
        await server.send(call("resources/subscribe", {"uri": "a:b"}, era="legacy", session=session))
        with pytest.raises(BadUpstream):
            await server.send(tool("exit", era="legacy", session=session))
        await until(lambda: server._primary.starts == 2 and server._primary.state == "healthy")
        seen = json.loads(text_of(await server.send(tool("seen", era="legacy", session=session))))
        assert "resources/subscribe" in seen


async def test_close_leaves_no_process(opened: Open) -> None:
    async with opened(MODERN) as server:
        grandchild = json.loads(text_of(await server.send(tool("grandchild"))))
        daemon = json.loads(text_of(await server.send(tool("daemon"))))
        pid = await pid_of(server)
        launcher = server._primary._child._transport.get_pid()
    assert not any(map(alive, (pid, grandchild, daemon, launcher)))
    with pytest.raises(UpstreamUnavailable):
        await server.send(tool("echo"))


async def test_a_deaf_child_is_written_to_within_bounds_and_still_ends(opened: Open) -> None:
    async with opened(MODERN, max_unsent_bytes=200_000, stop_timeout=0.2) as server:
        await server.send(tool("deaf"))
        pid = await pid_of(server)
        tasks = [
            asyncio.ensure_future(server.send(tool("echo", {"x": "y" * 20_000}, timeout_s=0.5))) for _ in range(200)
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {Overloaded, DeadlineExceeded}
        assert server._primary._child._writer.size <= 200_000
    assert not alive(pid)


async def test_a_child_that_exits_at_once_is_started_ever_more_slowly(opened: Open, events: list[Any]) -> None:
    """RES-06"""
    async with opened(server_command("lines.py", "--era", "exits")) as server:
        with pytest.raises(UpstreamUnavailable) as refused:
            await server.send(tool("echo"))
        assert "code 4" in refused.value.why
        await until(lambda: server._primary.starts >= 4)
        health = await server.health()
        assert health["failures"] >= 3
        assert "cannot run" in health["reason"]
    waits = [fields["after_s"] for event, fields in events if event == "stdio.restarting"]
    assert waits[0] <= 0.05 < waits[2] <= 0.2


async def test_a_child_that_never_answers_is_unavailable_by_its_deadline(opened: Open) -> None:
    async with opened(server_command("lines.py", "--era", "mute"), start_timeout=1.0) as server:
        with pytest.raises(UpstreamUnavailable):
            await server.send(tool("echo", timeout_s=0.2))
        with pytest.raises(UpstreamUnavailable):
            await server.send(tool("echo", timeout_s=5))


@pytest.mark.parametrize("command", [["no-such-program-here"], ["/no/such/program"], ["/etc/hostname"]])
async def test_a_program_that_cannot_run_says_so(opened: Open, command: list[str]) -> None:
    async with opened(command) as server:
        with pytest.raises(UpstreamUnavailable) as refused:
            await server.send(tool("echo"))
        assert command[0] in refused.value.why


async def test_a_child_sees_the_allowed_environment_only(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """MCP-08"""
    monkeypatch.setenv("MANTLET_SECRET", "s3cret")
    monkeypatch.setenv("LC_TEST", "kept")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    async with opened(MODERN, env={"OWN": "yes", "SHELL_WORDS": "$(id); `id`"}) as server:
        seen = json.loads(text_of(await server.send(tool("env"))))
    assert seen["OWN"] == "yes"
    assert seen["SHELL_WORDS"] == "$(id); `id`"
    assert seen["LC_TEST"] == "kept"
    allowed = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "OWN", "SHELL_WORDS", "PWD", "SHLVL", "_"}
    assert {name for name in seen if not name.startswith("LC_")} <= allowed


@pytest.mark.parametrize("turns", range(6))
async def test_close_while_the_child_is_being_spawned_leaves_nothing(opened: Open, turns: int) -> None:
    async with opened(MODERN) as server:
        for _ in range(turns):
            await asyncio.sleep(0)
    child = server._primary._child
    assert child is None or child.ended.is_set()
