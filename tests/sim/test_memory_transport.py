"""What a protocol sees of a connection in memory."""

from __future__ import annotations

import asyncio

import pytest

from tests.sim.memory_link import Recorder, link, settle
from tests.sim.virtual_time import running_loop, virtual
from voicebot.sim.memory_transport import KERNEL_BYTES, READ_BYTES

MEBIBYTE = 1024 * 1024


# ---- data ---------------------------------------------------------------------------------------------------------


@virtual
async def test_data_arrives_in_order_and_joined() -> None:
    pair = await link()
    pair.client.transport.write(b"one")
    pair.client.transport.writelines([b" two", bytearray(b" three"), memoryview(b" four")])
    pair.client.transport.write(b"")
    assert pair.server.told == ["made"]
    await settle()
    pair.server.transport.write(b"back")
    await settle()
    assert pair.server.told == ["made", b"one two three four"]
    assert pair.server.sizes == [18]
    assert pair.client.told == ["made", b"back"]


@virtual
async def test_a_caller_may_reuse_its_buffer() -> None:
    pair, buffer = await link(), bytearray(b"before")
    pair.client.transport.write(buffer)
    buffer[:] = b"after!"
    await settle()
    assert pair.server.told == ["made", b"before"]


@virtual
async def test_a_large_write_arrives_in_reads() -> None:
    pair, body = await link(), bytes(range(256)) * 4096
    pair.client.transport.write(body + b"tail")
    await settle()
    assert pair.server.told == ["made", body + b"tail"]
    assert max(pair.server.sizes) == READ_BYTES


@virtual
async def test_a_paused_reader_gets_nothing_until_it_resumes() -> None:
    pair = await link()
    pair.server.transport.pause_reading()
    pair.client.transport.write(b"wait")
    pair.client.transport.close()
    await settle()
    assert (pair.server.told, pair.server.transport.is_reading()) == (["made"], False)
    assert pair.client.told == ["made", "lost"]
    pair.server.transport.resume_reading()
    await settle()
    assert pair.server.told == ["made", b"wait", "eof", "lost"]


@virtual
async def test_unread_data_pauses_the_writer() -> None:
    pair = await link()
    transport = pair.client.transport
    transport.set_write_buffer_limits(high=1000)
    assert transport.get_write_buffer_limits() == (250, 1000)
    pair.server.transport.pause_reading()
    transport.write(bytes(KERNEL_BYTES))
    assert transport.get_write_buffer_size() == 0
    transport.write(bytes(1000))
    assert pair.client.told == ["made"]
    transport.write(bytes(1))
    transport.write(bytes(1))
    assert transport.get_write_buffer_size() == 1002
    assert pair.client.told == ["made", "pause"]
    pair.server.transport.resume_reading()
    await settle()
    assert pair.client.told == ["made", "pause", "resume"]
    assert sum(pair.server.sizes) == KERNEL_BYTES + 1002


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [(None, None, (16_384, 65_536)), (100, None, (25, 100)), (None, 100, (100, 400)), (0, 0, (0, 0)), (5, 5, (5, 5))],
)
@virtual
async def test_write_limits_default_as_asyncio_documents(
    high: int | None, low: int | None, expected: tuple[int, int]
) -> None:
    transport = (await link()).client.transport
    transport.set_write_buffer_limits(high, low)
    assert transport.get_write_buffer_limits() == expected


@pytest.mark.parametrize(("high", "low"), [(1, 2), (1, -1)])
@virtual
async def test_write_limits_out_of_order_are_refused(high: int, low: int) -> None:
    with pytest.raises(ValueError, match="must be >="):
        (await link()).client.transport.set_write_buffer_limits(high, low)


# ---- ends ---------------------------------------------------------------------------------------------------------


@virtual
async def test_close_delivers_data_before_the_end() -> None:
    pair = await link()
    pair.client.transport.write(b"last words")
    pair.client.transport.close()
    pair.client.transport.close()
    pair.client.transport.write(b"too late")
    assert pair.client.transport.is_closing()
    assert pair.client.told == ["made"]
    await settle()
    assert pair.client.told == ["made", "lost"]
    assert pair.server.told == ["made", b"last words", "eof", "lost"]


@virtual
async def test_close_waits_for_a_full_write_buffer() -> None:
    pair = await link()
    pair.server.transport.pause_reading()
    pair.client.transport.write(bytes(MEBIBYTE))
    pair.client.transport.close()
    await settle()
    assert pair.client.told == ["made", "pause"]
    pair.server.transport.resume_reading()
    await settle()
    assert pair.client.told[-2:] == ["resume", "lost"]
    assert (sum(pair.server.sizes), pair.server.told[2:]) == (MEBIBYTE, ["eof", "lost"])


@virtual
async def test_write_eof_leaves_the_other_direction_open() -> None:
    pair = await link(server_keeps_open=True)
    assert pair.client.transport.can_write_eof()
    pair.client.transport.write(b"question")
    pair.client.transport.write_eof()
    pair.client.transport.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        pair.client.transport.write(b"more")
    await settle()
    pair.server.transport.write(b"answer")
    pair.server.transport.close()
    await settle()
    assert pair.server.told == ["made", b"question", "eof", "lost"]
    assert pair.client.told == ["made", b"answer", "eof", "lost"]


@virtual
async def test_abort_resets_the_peer_after_what_is_under_way() -> None:
    pair = await link()
    pair.client.transport.write(b"under way")
    pair.client.transport.abort()
    pair.client.transport.abort()
    await settle()
    assert pair.client.told == ["made", "lost"]
    assert pair.server.told == ["made", b"under way", ConnectionResetError]


@virtual
async def test_abort_forgets_what_was_not_sent() -> None:
    pair = await link()
    pair.server.transport.pause_reading()
    for _ in range(100):
        pair.client.transport.write(bytes(4096))
    pair.client.transport.abort()
    pair.server.transport.resume_reading()
    await settle()
    assert (sum(pair.server.sizes), pair.server.told[-1]) == (KERNEL_BYTES, ConnectionResetError)


@virtual
async def test_writing_to_a_closed_peer_is_answered_by_a_reset() -> None:
    pair = await link(server_keeps_open=True)
    pair.client.transport.close()
    await settle()
    pair.server.transport.write(b"anybody there?")
    assert pair.server.told == ["made", "eof"]
    await settle()
    assert pair.server.told == ["made", "eof", ConnectionResetError]
    pair.server.transport.write(b"no")


@virtual
async def test_a_reset_reaches_a_writer_that_does_not_read() -> None:
    pair = await link()
    pair.server.transport.pause_reading()
    pair.client.transport.close()
    pair.server.transport.write(b"anybody there?")
    await settle()
    assert pair.server.told == ["made", ConnectionResetError]


@virtual
async def test_an_error_of_the_protocol_breaks_the_connection() -> None:
    loop, reported, pair = running_loop(), [], await link()
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))

    class Faulty(Recorder):
        def data_received(self, data: bytes) -> None:
            raise LookupError(data.decode())

    faulty = Faulty()
    pair.server.transport.set_protocol(faulty)
    assert pair.server.transport.get_protocol() is faulty
    pair.client.transport.write(b"boom")
    await settle()
    assert [str(error) for error in reported] == ["boom"]
    assert faulty.told == ["lost"]
    assert pair.client.told == ["made", ConnectionResetError]


@virtual
async def test_a_protocol_that_cannot_be_made_resets_the_client() -> None:
    loop, reported = running_loop(), []
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))

    def fail() -> asyncio.Protocol:
        raise LookupError("no protocol")

    server = await loop.create_server(fail, "127.0.0.1", 0)
    _, client = await loop.create_connection(Recorder, "127.0.0.1", server.port)
    await settle()
    assert client.told == ["made", ConnectionResetError]
    assert [type(error) for error in reported] == [LookupError]
    server.close()
    await server.wait_closed()


@virtual
async def test_write_refuses_text() -> None:
    pair = await link()
    with pytest.raises(TypeError, match="bytes-like"):
        pair.client.transport.write("text")  # type: ignore[arg-type]
