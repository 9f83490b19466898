"""The WebSocket's short way and the library's way, side by side: whatever is sent, however it is cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from voicebot.websocket import MAX_WAITING, WebSocket, masked_text_frame, text_frame

LIMIT = 100_000
TEXT, BINARY, CONT, PING, CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE


@dataclass
class Wire(asyncio.Transport):
    """A transport that writes down what becomes of it."""

    written: bytearray = field(default_factory=bytearray)
    aborted: bool = False
    reading: bool = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class End:
    """One end of a connection, with what came and how often it was over."""

    side: Side = Side.SERVER
    limit: int = LIMIT
    given: bool = True

    def __post_init__(self) -> None:
        self.wire, self.came, self.overs = Wire(), list[bytes](), 0
        self.protocol = Protocol(self.side, max_size=self.limit)
        self.socket = WebSocket(self.protocol)
        self.socket.connection_made(self.wire)
        if self.given:
            self.socket.give_to(self.came.append, self._over)

    def _over(self) -> None:
        self.overs += 1

    def feed(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self.socket.data_received(piece)


def wire(opcode: Opcode, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=masked)


def cut(data: bytes, sizes: Iterator[int]) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = next(sizes)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def the_librarys(data: bytes, side: Side, limit: int = LIMIT) -> tuple[list[bytes], Protocol]:
    """What the library alone makes of it."""
    protocol = Protocol(side, max_size=limit)
    protocol.receive_data(data)
    messages, whole = [], b""
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (TEXT, BINARY, CONT):
            whole += bytes(event.data)
            if event.fin:
                messages.append(whole)
                whole = b""
    return messages, protocol


# ---- reading --------------------------------------------------------------------------------------------------------

payloads = st.one_of(
    st.binary(max_size=200), st.sampled_from([125, 126, 127, 65_535, 65_536, 70_000]).map(lambda size: b"x" * size)
)
rightly = st.one_of(
    st.tuples(st.just("text"), payloads),
    st.tuples(st.just("binary"), payloads),
    st.tuples(st.just("ping"), st.binary(max_size=125)),
    st.tuples(st.just("fragments"), st.binary(max_size=200)),
)


def frames_of(kind: str, payload: bytes, *, masked: bool) -> bytes:
    match kind:
        case "binary":
            return wire(BINARY, payload, masked=masked)
        case "ping":
            return wire(PING, payload, masked=masked)
        case "fragments":
            parts = [(TEXT, payload[:7]), (CONT, payload[7:20]), (CONT, payload[20:])]
            ping = wire(PING, b"between", masked=masked)
            return ping.join(wire(of, part, fin=n == 2, masked=masked) for n, (of, part) in enumerate(parts))
        case _:
            return wire(TEXT, payload, masked=masked)


@given(st.lists(rightly, max_size=6), st.sampled_from(Side), st.integers(0, 2**32))
async def test_what_comes_is_what_the_library_would_give(sent: list[tuple[str, bytes]], side: Side, seed: int) -> None:
    data = b"".join(frames_of(kind, payload, masked=side is Side.SERVER) for kind, payload in sent)
    dice = random.Random(seed)
    end = End(side)
    end.feed(cut(data, iter(lambda: dice.choice([1, 2, 3, 5, 100, 1000, 66_000]), None)))
    expected, protocol = the_librarys(data, side)
    assert end.came == expected == [payload for kind, payload in sent if kind != "ping"]
    assert end.protocol.state is protocol.state is State.OPEN
    pongs = sum(2 if kind == "fragments" else kind == "ping" for kind, _ in sent)
    assert bytes(end.wire.written).count(b"between") == 2 * sum(kind == "fragments" for kind, _ in sent) or (
        side is Side.CLIENT  # whose pongs are masked
    )
    assert bool(end.wire.written) == bool(pongs)


@given(st.lists(rightly, max_size=2), st.binary(min_size=1, max_size=300), st.integers(0, 2**32))
async def test_what_breaks_the_rules_ends_as_with_the_library(
    before: list[tuple[str, bytes]], noise: bytes, seed: int
) -> None:
    data = b"".join(frames_of(kind, payload, masked=True) for kind, payload in before) + noise
    dice = random.Random(seed)
    end = End()
    end.feed(cut(data, iter(lambda: dice.choice([1, 2, 7, 1000]), None)))
    expected, protocol = the_librarys(data.removesuffix(end.socket._begun), Side.SERVER)
    assert end.came == expected
    assert end.protocol.state is protocol.state
    sent, theirs = end.protocol.close_sent, protocol.close_sent
    assert (sent and sent.code) == (theirs and theirs.code)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (wire(TEXT, b"x", masked=False), 1002),
        (b"\xc1" + wire(TEXT, b"x")[1:], 1002),  # RSV1, as compression would set it
        (b"\x83" + wire(TEXT, b"x")[1:], 1002),
        (wire(CONT, b"x"), 1002),
        (wire(TEXT, b"x", fin=False) + wire(TEXT, b"y"), 1002),
        (wire(TEXT, b"x" * (LIMIT + 1)), 1009),
        (wire(TEXT, b"x" * 60_000, fin=False) + wire(CONT, b"x" * 60_000), 1009),
        (b"\x81\xff" + b"\xff" * 8, 1009),
    ],
    ids=["unmasked", "compressed", "reserved", "nothing begun", "not finished", "long", "long in parts", "endless"],
)
async def test_peer_is_told_why(data: bytes, code: int) -> None:
    end = End()
    end.feed([data, wire(TEXT, b"too late")])
    assert end.came == []
    assert end.protocol.close_sent is not None and end.protocol.close_sent.code == code


async def test_short_limit_holds_on_the_short_way() -> None:
    end = End(limit=1000)
    end.feed([wire(TEXT, b"x" * 1000), wire(TEXT, b"x" * 1001)])
    assert end.came == [b"x" * 1000]
    assert end.protocol.close_sent is not None and end.protocol.close_sent.code == 1009


async def test_nothing_comes_after_the_close() -> None:
    end = End()
    end.feed([wire(TEXT, b"a") + wire(CLOSE, b"\x03\xe8") + wire(TEXT, b"b")])
    assert end.came == [b"a"]


async def test_nothing_comes_after_our_close() -> None:
    end = End()
    end.socket.start_closing(CloseCode.GOING_AWAY)
    end.socket.start_closing(CloseCode.POLICY_VIOLATION)
    end.feed([wire(TEXT, b"a"), wire(BINARY, b"b")])
    assert end.came == []
    assert bytes(end.wire.written) == b"\x88\x02\x03\xe9"
    end.socket.connection_lost(None)


async def test_what_waited_is_given_first() -> None:
    end = End(given=False)
    end.feed([wire(TEXT, b"a") + wire(TEXT, b"b")])
    end.socket.give_to(end.came.append, end._over)
    end.feed([wire(TEXT, b"c")])
    assert (end.came, end.overs) == ([b"a", b"b", b"c"], 0)
    end.socket.connection_lost(None)
    assert end.overs == 1


async def test_who_comes_late_hears_that_it_is_over() -> None:
    end = End(given=False)
    end.feed([wire(TEXT, b"a")])
    end.socket.connection_lost(ConnectionResetError())
    end.socket.give_to(end.came.append, end._over)
    assert (end.came, end.overs) == ([b"a"], 1)


@pytest.mark.parametrize("given", [False, True])
async def test_reading_pauses_until_somebody_takes(given: bool) -> None:
    end = End(given=False)
    end.feed([wire(TEXT, b"%d" % number) for number in range(MAX_WAITING + 1)])
    assert not end.wire.reading
    if given:
        end.socket.give_to(end.came.append, end._over)
    else:
        end.came += await end.socket.receive()
    assert end.wire.reading
    assert len(end.came) == MAX_WAITING + 1


async def test_put_back_comes_again_first() -> None:
    end = End(given=False)
    end.feed([wire(TEXT, b"a") + wire(TEXT, b"b")])
    _, b = await end.socket.receive()
    end.feed([wire(TEXT, b"c")])
    end.socket.put_back([b])
    assert await end.socket.receive() == [b"b", b"c"]


# ---- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 90_000])
@pytest.mark.parametrize("masked", [False, True])
async def test_frames_are_read_as_they_were_written(size: int, masked: bool) -> None:
    payload = bytes(random.Random(size).randbytes(size))
    frame = masked_text_frame(payload, b"\x01\xfe\x55\x00") if masked else text_frame(payload)
    other = End(Side.SERVER if masked else Side.CLIENT)
    other.feed([frame])
    assert other.came == [payload]
    assert the_librarys(frame, other.side)[0] == [payload]


async def test_drain_waits_while_the_peer_takes_too_little() -> None:
    end = End()
    await end.socket.drain()
    end.socket.pause_writing()
    both = [asyncio.ensure_future(end.socket.drain()) for _ in range(2)]
    await asyncio.sleep(0)
    both[0].cancel()
    await asyncio.sleep(0)
    assert not both[1].done()
    end.socket.resume_writing()
    await both[1]
    assert end.socket.stalled_since is None


async def test_drain_ends_with_the_connection() -> None:
    end = End()
    end.socket.pause_writing()
    waiting = asyncio.ensure_future(end.socket.drain())
    await asyncio.sleep(0)
    end.socket.connection_lost(None)
    await waiting
    end.socket.write("too late")
    assert not end.socket.is_open
