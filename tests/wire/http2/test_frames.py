"""Frames as they are counted before anybody acts on them (HTTP-06; CVE-2023-44487 and kin)."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mantlet.wire.http2.abuse import Abuse, Points
from mantlet.wire.http2.frames import PREFACE, Gate, goaway

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def gate(*, now_s: float = 0.0, **more) -> Gate:
    return Gate(Points(now_s), max_block_bytes=10_000, **more)


FRAMES = [
    frame(PING, payload=b"12345678"),
    frame(DATA, 1, 1, b"x" * 200),
    frame(DATA, 1, 1, b""),
    frame(HEADERS, 0x5, 1, b"abc"),
    frame(HEADERS, 0, 3, b"abc") + frame(CONTINUATION, 4, 3, b"def"),
    frame(SETTINGS, 1),
    frame(0x77, payload=b"??"),
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from([*FRAMES, "goaway"]), max_size=15), st.lists(st.integers(1, 40), max_size=60))
def test_a_gate_passes_all_but_goaway_however_it_is_cut(frames: list[bytes | str], cuts: list[int]) -> None:
    left: list[tuple[int, int]] = []
    sound = gate(on_goaway=lambda last, code: left.append((last, code)))
    begun = PREFACE + frame(SETTINGS)
    whole = begun + b"".join(goaway(9, 2) if one == "goaway" else one for one in frames)
    wanted = begun + b"".join(one for one in frames if isinstance(one, bytes))
    passed = b""
    for cut in cuts:
        passed += sound.feed(whole[:cut], 0.0)
        whole = whole[cut:]
    passed += sound.feed(whole, 0.0)
    assert passed == wanted
    assert left == [(9, 2)] * frames.count("goaway")
    assert sound.is_begun


@given(st.binary(max_size=300))
def test_a_gate_lets_noise_through_or_ends(noise: bytes) -> None:
    sound = gate()
    with contextlib.suppress(Abuse):
        sound.feed(PREFACE + frame(SETTINGS) + noise, 0.0)


def test_points_come_back_with_time_and_with_answers() -> None:
    points = Points(0.0)
    points.spend(200, "x", 0.0)
    with pytest.raises(Abuse):
        points.spend(1, "x", 0.0)
    points = Points(0.0)
    points.spend(200, "x", 0.0)
    points.spend(20, "x", 1.0)
    points.answered()
    points.spend(1, "x", 1.0)
    with pytest.raises(Abuse):
        points.spend(1, "x", 0.5)  # a clock that steps back gives nothing back


def test_windows_are_free_for_what_was_sent() -> None:
    points = Points(0.0)
    for _ in range(1000):
        points.sent_data()
        points.window_update(0.0)
        points.window_update(0.0)
    for _ in range(200 + 32):
        points.window_update(0.0)
    with pytest.raises(Abuse):
        points.window_update(0.0)


def test_a_servers_events_may_be_small() -> None:
    of_server, of_client = gate(is_server=False), gate()
    of_client.feed(PREFACE, 0.0)
    crumbs = frame(SETTINGS) + frame(DATA, 0, 1, b"x") * 2000
    assert of_server.feed(crumbs, 0.0) == crumbs
    with pytest.raises(Abuse):
        of_client.feed(crumbs, 0.0)
