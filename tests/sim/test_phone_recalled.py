"""Calls that the account's REST API reaches into, and calls that go on over several streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.sim.phone_server import (
    CALL_SID,
    CONNECT,
    Asked,
    Server,
    Stream,
    conversation,
    dial,
    greeter,
    of,
    reader,
    steps,
)
from voicebot.sim.call_book import CallBook, Reachable
from voicebot.sim.call_result import CallResult
from voicebot.sim.caller import HangUp, Hear, Listen, Say, Wait
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import LineFaults
from voicebot.sim.timeline import StreamBroke, StreamClosed, VerbPlayed, WebhookAnswered
from voicebot.sim.twiml_player import TwimlError

GO_ON = "<Response><Say>Somewhere else.</Say></Response>"
AGAIN = CONNECT.replace("/after", "/end").replace('"main"', '"second"')
FOREVER = 100_000
Deed = Callable[[Reachable], object]


def call(server: Server, caller: Any = None, *deeds: tuple[float, Deed], **settings: Any) -> CallResult:
    """One call in virtual time, into which somebody reaches: (seconds from the dialling, what he does)."""
    book = CallBook()

    async def reach() -> None:
        for after_s, deed in deeds:
            await asyncio.sleep(after_s - asyncio.get_running_loop().time())
            reached = book.find(CALL_SID)
            assert reached is not None
            deed(reached)

    async def main() -> CallResult:
        async with server, asyncio.TaskGroup() as tasks:
            tasks.create_task(reach())
            return await dial(server, caller, book=book, **settings)

    return run_virtual(main(), limit_s=4 * 3600)


def went(server: Server, path: str = "/elsewhere") -> Deed:
    return lambda reached: reached.go_to(f"http://{server.host}{path}")


# ---- what REST asks for -------------------------------------------------------------------------------------------


def test_redirect_ends_the_stream_and_plays_the_new_document() -> None:
    server = Server(reader, documents={"/elsewhere": GO_ON})
    result = call(server, steps(Listen(FOREVER)), (2.0, went(server)))
    (closed,) = of(result, StreamClosed)
    assert (closed.by, closed.at_ms) == ("account", pytest.approx(2000, abs=40))
    assert server.streams[0].events[-1]["event"] == "stop"
    assert [asked.path for asked in server.asked if asked.path not in ("/stream", "/media")] == [
        *("/voice", "/elsewhere", "/status")
    ]
    assert server.forms("/elsewhere")[0]["CallStatus"] == "in-progress"
    assert conversation(result) == ["Somewhere else."]
    assert result.ended_by == "server"


def test_redirect_may_open_the_next_stream_and_the_caller_goes_on() -> None:
    bots = iter((reader, greeter))

    async def bot(stream: Stream) -> None:
        await next(bots)(stream)

    server = Server(bot, documents={"/elsewhere": AGAIN})
    result = call(server, None, (2.0, went(server)))
    assert conversation(result) == ["Hello there.", "Hi", "Goodbye."]
    (resumed,) = result.resumptions
    assert resumed.lost_ms == pytest.approx(2000, abs=40)
    assert resumed.audible_ms is not None
    assert resumed.lost_ms <= resumed.stream_ms <= resumed.audible_ms < 2500


def test_rest_gives_the_document_itself() -> None:
    server = Server(reader)
    result = call(server, steps(Listen(FOREVER)), (2.0, lambda reached: reached.play(GO_ON)))
    assert conversation(result) == ["Somewhere else."]


def test_document_that_is_none_leaves_the_call_as_it_is() -> None:
    def deed(reached: Reachable) -> None:
        with pytest.raises(TwimlError):
            reached.play("<Responze/>")

    assert conversation(call(Server(), None, (0.1, deed))) == ["Hello there.", "Hi", "Goodbye."]


def test_rest_hangs_up() -> None:
    server = Server(reader)
    result = call(server, steps(Listen(FOREVER)), (2.0, lambda reached: reached.hang_up()), (3.0, went(server)))
    assert (result.ended_by, result.duration_ms) == ("server", pytest.approx(2000, abs=40))
    assert of(result, StreamClosed)[0].by == "account"
    assert server.forms("/after") == server.forms("/elsewhere") == []
    assert server.forms("/status")[0]["CallStatus"] == "completed"


async def hanging(asked: Asked) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.parametrize(
    "voice",
    [
        "<Response><Pause length='30'/></Response>",
        "<Response><Dial>+15550199</Dial></Response>",
        "<Response><Redirect>/hanging</Redirect></Response>",
    ],
)
def test_redirect_breaks_off_whatever_is_under_way(voice: str) -> None:
    server = Server(documents={"/voice": voice, "/hanging": hanging, "/elsewhere": GO_ON})
    result = call(server, steps(Listen(FOREVER)), (4.0, went(server)))
    assert conversation(result) == ["Somewhere else."]
    assert next(one.at_ms for one in of(result, VerbPlayed) if one.verb == "Say") == pytest.approx(4000, abs=40)


def test_server_that_does_not_read_holds_no_redirect_up() -> None:
    async def deaf(stream: Stream) -> None:
        await stream.until("start")
        await asyncio.sleep(200)

    server = Server(deaf, documents={"/elsewhere": GO_ON})
    result = call(server, steps(Listen(FOREVER)), (20.0, went(server)))
    assert next(one.at_ms for one in of(result, VerbPlayed) if one.verb == "Say") < 20_600


def test_book_knows_calls_by_their_state() -> None:
    book = CallBook()
    seen: list[tuple[str, int]] = []

    async def look(asked: Asked) -> web.Response:
        reached = book.find(CALL_SID)
        assert reached is not None
        seen.append((reached.status, len(book.on_the_line())))
        return web.Response(text="<Response><Redirect>/next</Redirect></Response>", content_type="text/xml")

    async def main() -> None:
        async with Server(documents={"/voice": look, "/next": look, "/status": look}) as server:
            await dial(server, steps(Listen()), book=book, fallback_url=None, limit_s=1)

    run_virtual(main())
    assert (seen[0], seen[1], seen[-1]) == (("ringing", 1), ("in-progress", 1), ("completed", 0))
    assert book.find("CA" + "0" * 32) is None


# ---- streams that break -------------------------------------------------------------------------------------------


def broken_after(ms: int) -> Callable[[Stream], Awaitable[None]]:
    """A server that greets, and is killed."""

    async def bot(stream: Stream) -> None:
        await stream.until("start")
        await stream.say("Hello there.")
        for _ in range(ms // 20):
            await stream.until("media")
        assert stream.request.transport is not None
        stream.request.transport.abort()

    return bot


def broken_then(bot: Any, ms: int = 3000) -> Any:
    bots = iter((broken_after(ms), bot))

    async def both(stream: Stream) -> None:
        await next(bots)(stream)

    return both


def test_broken_stream_asks_the_action_and_the_next_one_is_a_resumption() -> None:
    server = Server(broken_then(greeter), documents={"/after": AGAIN})
    result = call(server, steps(Hear(), Say("Hi"), Listen()))
    assert [closed.by for closed in of(result, StreamClosed)] == ["network", "server"]
    (resumed,) = result.resumptions
    assert resumed.stream_gap_ms < 100
    assert resumed.audible_gap_ms is not None
    assert resumed.audible_gap_ms < 500


def test_line_that_does_not_notice_is_silent_until_rest_redirects() -> None:
    server = Server(broken_then(greeter), documents={"/elsewhere": AGAIN})
    result = call(
        server,
        steps(Hear(), Say("Hi", timeout_ms=FOREVER), Listen()),
        (9.0, went(server)),
        faults=LineFaults(unnoticed_breaks=1),
    )
    (broke,) = of(result, StreamBroke)
    first, second = of(result, StreamClosed)
    assert (first.by, second.by) == ("account", "server")
    assert first.at_ms == pytest.approx(9000, abs=40)
    assert [form["StreamEvent"] for form in server.forms("/stream")][:2] == ["stream-started", "stream-stopped"]
    assert server.forms("/after") == []
    (resumed,) = result.resumptions
    assert resumed.lost_ms == broke.at_ms == pytest.approx(3000, abs=100)
    assert resumed.stream_gap_ms == pytest.approx(6000, abs=100)
    assert result.violations == ()


def test_caller_may_hang_up_while_the_line_notices_nothing() -> None:
    server = Server(broken_after(1000))
    result = call(server, steps(Wait(4000), HangUp()), faults=LineFaults(unnoticed_breaks=1))
    assert result.ended_by == "caller"
    assert of(result, StreamClosed)[0].by == "caller"
    assert server.forms("/after") == []
    assert result.resumptions == ()


def test_action_is_withheld_of_the_first_stream_alone() -> None:
    documents = {"/voice": CONNECT.replace("<Say>Next verb.</Say>", "<Redirect>/next</Redirect>"), "/next": AGAIN}
    server = Server(broken_then(greeter), documents=documents | {"/end": GO_ON})
    result = call(server, steps(Hear(), Say("Hi"), Listen()), faults=LineFaults(actions_withheld=1))
    assert server.forms("/after") == []
    assert len(server.forms("/next")) == len(server.forms("/end")) == 1
    assert conversation(result)[-1] == "Somewhere else."


def test_action_that_is_lost_asks_the_fallback() -> None:
    server = Server(documents={"/fallback": GO_ON})

    async def main() -> CallResult:
        async with server:
            url = f"http://{server.host}/fallback"
            return await dial(server, fallback_url=url, faults=LineFaults(actions_lost=1))

    result = run_virtual(main())
    assert server.forms("/after") == []
    (form,) = server.forms("/fallback")
    assert (form["ErrorCode"], form["ErrorUrl"]) == ("11205", f"http://{server.host}/after")
    assert conversation(result)[-1] == "Somewhere else."
    assert [event.url for event in of(result, WebhookAnswered) if event.error] == [f"http://{server.host}/after"]


def test_action_comes_late() -> None:
    times: list[float] = []

    async def after(asked: Asked) -> web.Response:
        times.append(asyncio.get_running_loop().time() * 1000)
        return web.Response(text="<Response/>", content_type="text/xml")

    result = call(Server(documents={"/after": after}), faults=LineFaults(action_delay_s=3))
    assert times == [pytest.approx(of(result, StreamClosed)[0].at_ms + 3000, abs=40)]
