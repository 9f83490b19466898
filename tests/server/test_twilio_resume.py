"""What comes after a stream that broke: two instances over one store, asked in whatever order, on the virtual clock."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import aiohttp
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from tests.fakes import START, BreakableStore, calls_over, lobby_over
from tests.server.test_twilio_routes import (
    CALL_SID,
    ORIGIN,
    POLICY_VIOLATION,
    SAMPLES,
    SECRET,
    TOKENS,
    VOICE,
    Answer,
    close_code,
    refused,
    sample,
)
from voicebot.audio.formats import AudioFormat
from voicebot.call.entries import CallerConnected, CallOpened, Entry, LineClosed, kind_of, write_entry
from voicebot.engine.entries import EndedReason, LanguageSwitched, PhaseEntered
from voicebot.flow import Flow, Limits, Observations, Phase, ask
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.server.connections import make_runner
from voicebot.server.lifecycle import CLAIM_LIMIT_S, MOST_ATTEMPTS, Calls, ModelAccess, in_background
from voicebot.server.liveness import BEAT_S, LEASE_S
from voicebot.server.overflow import Overflow
from voicebot.server.passing import Passing
from voicebot.server.twilio_routes import TwilioRoutes
from voicebot.server.watch import ADRIFT_S, ORPHANS_EVERY, Watch
from voicebot.sim.brain import Context, Output, Says
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.store.contract import CallRecord, StoredEntry
from voicebot.telephony import tokens
from voicebot.telephony.full_house import FullHouse
from voicebot.telephony.signatures import SignatureChecker
from voicebot.telephony.twiml import FALLBACK_SENTENCES

SEEN_DEAD_S = LEASE_S + (ORPHANS_EVERY + 3) * BEAT_S
AFTER = sample("connect_action")
TROUBLE = FALLBACK_SENTENCES["en"].trouble


class Visit(Observations):
    name: str = ask("the caller's full name")


VISIT = load_flow(
    "visit",
    Flow(
        goal="Find out who is calling.",
        observations=Visit,
        limits=Limits(duration=3000.0, silence=()),
        phases=[Phase("reception", instructions="Find out who is calling.")],
    ),
)
OPENED = CallOpened("visit", VISIT.version, VISIT.document, VOICE["From"], VOICE["To"], "inbound")
ITALIAN = LanguageSwitched("it", "en", "request", "in italiano, per favore", 1)
TALKING = (OPENED, CallerConnected("MZ0"), PhaseEntered("reception", None, "start"))


class Talkative:
    """A brain that always has something to say."""

    def respond(self, context: Context) -> Sequence[Output]:
        return (Says("And who is calling?"),)


@dataclass
class Instance:
    """One process that answers the phone, with Twilio's side of it."""

    http: aiohttp.ClientSession
    port: int
    store: BreakableStore
    calls: Calls
    watching: AsyncExitStack

    @property
    def owner(self) -> str:
        return self.calls.owner

    async def post(self, path: str, form: Mapping[str, str]) -> Answer:
        signature = RequestValidator(TOKENS[0]).compute_signature(ORIGIN + path, dict(form))
        headers = {"X-Twilio-Signature": signature}
        async with self.http.post(f"http://127.0.0.1:{self.port}{path}", data=dict(form), headers=headers) as response:
            return Answer(response.status, await response.text(), response.content_type)

    async def dial(self) -> Answer:
        return await self.post("/twilio/voice", VOICE)

    async def after(self, **changed: str) -> Answer:
        """A stream has ended, and the caller is on the line."""
        return await self.post("/twilio/after", AFTER | changed)

    async def stream(self, token: str) -> aiohttp.ClientWebSocketResponse:
        """A stream lands here, with this token."""
        url = ORIGIN.replace("https", "wss") + "/twilio/media"
        headers = {"X-Twilio-Signature": RequestValidator(TOKENS[0]).compute_signature(url, {})}
        socket = await self.http.ws_connect(f"http://127.0.0.1:{self.port}/twilio/media", headers=headers)
        start = json.loads((SAMPLES / "twilio" / "from_start.json").read_text())
        start["start"] |= {"callSid": CALL_SID, "customParameters": {"token": token}}
        await socket.send_str((SAMPLES / "twilio" / "from_connected.json").read_text())
        await socket.send_json(start)
        return socket

    async def talking(self, token: str) -> aiohttp.ClientWebSocketResponse:
        """A stream that is taken."""
        before = (await self.kinds()).count("caller_connected")
        socket = await self.stream(token)
        while (await self.kinds()).count("caller_connected") == before:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.05)
        assert self.calls.get(CALL_SID) is not None
        return socket

    async def kinds(self) -> list[str]:
        return [entry.kind for entry in await self.store.journal(CALL_SID)]

    async def die(self) -> None:
        """It beats no more, and can write nothing down."""
        await self.watching.aclose()
        self.store.break_down()


@dataclass
class Pair:
    """Two instances over one store."""

    one: Instance
    other: Instance

    async def record(self) -> CallRecord:
        found = await self.other.store.call(CALL_SID)
        assert found is not None
        return found

    async def left_behind(self, *entries: Entry, owner: str = "D-00000d", attempt: int = 1, issued: int = 1) -> None:
        """A call that was answered, whose owner is gone, with this journal."""
        store = self.other.store
        record = CallRecord(
            CALL_SID, "visit", VISIT.version, None, None, "inbound", START, owner, attempt, issued, claimed=True
        )
        await store.open_call(record, max_calls=10)
        journal = [
            StoredEntry(n, kind_of(entry), 100 * n, START, write_entry(entry)) for n, entry in enumerate(entries, 1)
        ]
        await store.append(CALL_SID, journal, attempt=attempt, durable=True)

    async def hang_up(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """The caller hangs up; returns why the call ended, by its one report."""
        await socket.send_str((SAMPLES / "twilio" / "from_stop.json").read_text())
        async with asyncio.timeout(60):
            while (report := await self.other.store.report(CALL_SID)) is None:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
        await socket.close()
        return str(json.loads(report)["data"]["ended_reason"])


@asynccontextmanager
async def pair(*, skew_s: float = 0.0) -> AsyncIterator[Pair]:
    """`skew_s`: how far the other's clock is ahead."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = await stack.enter_async_context(RealtimeServer(Talkative))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        access = ModelAccess(model.url, lambda: API_KEY, "gpt-realtime-2.1", "gpt-transcribe", AudioFormat.PCMU_8K)
        one = await stack.enter_async_context(instance(folder, "east", 8081, access, http))
        other = await stack.enter_async_context(instance(folder, "west", 8082, access, http, skew_s=skew_s))
        await asyncio.sleep(2 * BEAT_S)  # they have seen each other
        yield Pair(one, other)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynccontextmanager
async def instance(
    folder: Path, name: str, port: int, access: ModelAccess, http: aiohttp.ClientSession, *, skew_s: float = 0.0
) -> AsyncIterator[Instance]:
    wall = wall_clock(START + timedelta(seconds=skew_s))
    shelf = FlowShelf({"visit": VISIT})
    store = await BreakableStore.open(folder / "calls.db")
    calls = calls_over(store, access, shelf.flows, max_calls=10, wall=wall, owner=f"{name}-00000{port % 10}")
    watch = Watch(store, calls, calls._reporter, None, ORIGIN + "/twilio/after", wall)
    routes = TwilioRoutes(
        calls=calls,
        passing=Passing(store=store, calls=calls, shelf=lambda: shelf, public_url=ORIGIN, wall=wall),
        store=store,
        shelf=lambda: shelf,
        checker=SignatureChecker(TOKENS, ORIGIN),
        secret=SECRET,
        public_url=ORIGIN,
        audio_format=AudioFormat.PCMU_8K,
        numbers={},
        default_flow="visit",
        wall=wall,
        others=watch.others,
        lobby=lobby_over(store, calls, shelf.flows, wall, ORIGIN),
        overflow=Overflow(FullHouse(), ORIGIN),
        counts=Counter(),
    )
    app = web.Application()
    app.add_routes(routes.routes())
    runner = make_runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with AsyncExitStack() as watching:
        await watching.enter_async_context(in_background(watch.run(), name=f"watch {name}"))
        yield Instance(http, port, store, calls, watching)
    store.mend()
    await calls.end()
    await runner.cleanup()
    await store.close()


def on_pair(*, skew_s: float = 0.0) -> Callable[[Callable[..., Coroutine[object, object, None]]], Callable[..., None]]:
    """Run an async test with a `Pair` before its other arguments, on the virtual clock."""

    def decorate(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
        async def play(**arguments: object) -> None:
            async with pair(skew_s=skew_s) as made:
                await test(made, **arguments)

        @functools.wraps(test)
        def run(**arguments: object) -> None:
            run_virtual(play(**arguments), limit_s=3600)

        own = list(inspect.signature(test).parameters.values())[1:]
        run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return run

    return decorate


def address(answer: Answer) -> str:
    """Of the stream that an answer asks for."""
    stream = ElementTree.fromstring(answer.text).find("Connect/Stream")
    assert stream is not None, answer.text
    return stream.attrib["url"].rpartition("/")[2]


def abort(socket: aiohttp.ClientWebSocketResponse) -> None:
    """The connection breaks, without a word."""
    transport = socket._response.connection and socket._response.connection.transport
    assert transport is not None
    transport.abort()


async def silence(socket: aiohttp.ClientWebSocketResponse, seconds: float) -> None:
    """The caller says nothing for so long; the line brings frames all the same."""
    frame = (SAMPLES / "twilio" / "from_media.json").read_text()
    stream_sid = json.loads((SAMPLES / "twilio" / "from_start.json").read_text())["streamSid"]
    for _ in range(round(seconds)):
        await socket.send_json(json.loads(frame) | {"streamSid": stream_sid})
        await asyncio.sleep(1)


# ---- the action comes to another instance ---------------------------------------------------------------------------


@on_pair()
async def test_call_whose_stream_broke_goes_on_elsewhere(made: Pair) -> None:
    socket = await made.one.talking((await made.one.dial()).token)
    await asyncio.sleep(2)
    abort(socket)
    answer = await made.other.after()
    assert address(answer) == "west"
    record = await made.record()
    assert (record.owner, record.attempt, record.claimed) == (made.other.owner, 2, False)
    again = await made.other.talking(answer.token)
    await asyncio.sleep(3)
    assert made.one.calls.count == 0
    kinds = await made.other.kinds()
    assert kinds.count("call_opened") == kinds.count("phase_entered") == kinds.count("call_taken_over") == 1
    assert await made.hang_up(again) == "caller_hung_up"
    await asyncio.sleep(2 * CLAIM_LIMIT_S)
    assert (await made.other.kinds()).count("call_ended") == 1


@on_pair()
async def test_action_may_come_before_the_stream_is_missed(made: Pair) -> None:
    socket = await made.one.talking((await made.one.dial()).token)
    await asyncio.sleep(2)
    answer = await made.other.after()
    again = await made.other.talking(answer.token)
    assert await close_code(socket) == 1000, "the one that had it lets go"
    await asyncio.sleep(1)
    assert made.one.calls.count == 0
    assert await made.hang_up(again) == "caller_hung_up"
    assert (await made.other.kinds()).count("call_ended") == 1


@on_pair()
async def test_call_of_the_dead_goes_on(made: Pair) -> None:
    await made.one.talking((await made.one.dial()).token)
    await asyncio.sleep(2)
    await made.one.die()
    answer = await made.other.after()
    again = await made.other.talking(answer.token)
    await silence(again, CLAIM_LIMIT_S)
    assert (await made.record()).owner == made.other.owner
    assert await made.hang_up(again) == "caller_hung_up"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("completed", None),
        ("silence", None),
        ("caller_finished", None),
        ("model_failed", TROUBLE),
        ("shutdown", TROUBLE),
    ],
)
@on_pair()
async def test_line_that_was_closed_on_purpose_is_not_gone_on_with(
    made: Pair, reason: EndedReason, said: str | None
) -> None:
    await made.left_behind(*TALKING, LineClosed(reason))
    answer = await made.other.after()
    assert (answer.verbs[-1], answer.said) == ("Hangup", said)
    assert (await made.record()).attempt == 1
    assert made.other.calls.count == 0


@on_pair()
async def test_last_sentence_is_in_the_language_that_the_call_was_in(made: Pair) -> None:
    await made.left_behind(*TALKING, ITALIAN, LineClosed("model_failed"))
    assert (await made.other.after()).said == FALLBACK_SENTENCES["it"].trouble


@on_pair()
async def test_caller_who_cannot_be_gone_on_with_is_told_so_in_their_language(made: Pair) -> None:
    await made.left_behind(*TALKING, ITALIAN, attempt=MOST_ATTEMPTS)
    assert (await made.other.after()).said == FALLBACK_SENTENCES["it"].trouble


@on_pair()
async def test_call_that_is_over_is_told_of_in_the_language_it_was_in(made: Pair) -> None:
    await made.left_behind(*TALKING, ITALIAN)
    record = await made.record()
    made.other.calls.conclude(record, "model_failed", at_once=True)
    while await made.other.store.report(CALL_SID) is None:  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0.1)
    assert (await made.other.after()).said == FALLBACK_SENTENCES["it"].trouble


@on_pair()
async def test_caller_who_has_hung_up_is_not_gone_on_with(made: Pair) -> None:
    await made.left_behind(*TALKING)
    assert (await made.other.after(CallStatus="completed")).verbs == ["Hangup"]
    assert (await made.record()).attempt == 1


@on_pair()
async def test_call_that_was_cut_off_too_often_ends_with_a_sentence(made: Pair) -> None:
    await made.left_behind(*TALKING, attempt=MOST_ATTEMPTS)
    answer = await made.other.after()
    assert (answer.verbs, answer.said) == (["Say", "Hangup"], TROUBLE)
    assert (await made.record()).attempt == MOST_ATTEMPTS


@on_pair()
async def test_journal_that_cannot_be_read_ends_with_a_sentence(made: Pair) -> None:
    await made.left_behind(*TALKING)
    damaged = StoredEntry(9, "no_such_kind", 900, START, "{}")
    await made.other.store.append(CALL_SID, [damaged], attempt=1, durable=True)
    assert (await made.other.after()).said == TROUBLE
    await asyncio.sleep(2 * ADRIFT_S)
    report = await made.other.store.report(CALL_SID)
    assert report is not None and json.loads(report)["data"]["ended_reason"] == "error"


@on_pair()
async def test_resume_that_fails_halfway_is_reported(made: Pair) -> None:
    await made.left_behind(*TALKING)
    journal = made.other.store.journal
    reads = 0

    async def fails_once(call_sid: str, after: int = 0) -> list[StoredEntry]:
        nonlocal reads
        reads += 1
        if reads == 2:  # the first looks whether the line was closed
            made.other.store.break_down("journal")
        return await journal(call_sid, after)

    made.other.store.journal = fails_once  # type: ignore[method-assign]
    assert (await made.other.after()).said == TROUBLE
    assert ((await made.record()).owner, made.other.calls.count) == (made.other.owner, 0)
    made.other.store.mend()
    await asyncio.sleep(ADRIFT_S + 5)
    report = await made.other.store.report(CALL_SID)
    assert report is not None and json.loads(report)["data"]["ended_reason"] == "connection_lost"


# ---- asked twice, or both -------------------------------------------------------------------------------------------


@on_pair()
async def test_other_instance_gives_the_same_answer(made: Pair) -> None:
    await made.left_behind(*TALKING)
    first = await made.one.after()
    assert address(first) == "east"
    await asyncio.sleep(CLAIM_LIMIT_S / 2)
    assert await made.other.after() == first
    assert await made.one.after() == first
    assert (await made.record()).attempt == 2
    socket = await made.one.talking(first.token)
    assert await made.hang_up(socket) == "caller_hung_up"


@on_pair()
async def test_answer_of_an_instance_that_has_died_since_is_not_repeated(made: Pair) -> None:
    await made.left_behind(*TALKING)
    assert address(await made.one.after()) == "east"
    await made.one.die()
    await asyncio.sleep(SEEN_DEAD_S)
    answer = await made.other.after()
    assert address(answer) == "west"
    socket = await made.other.talking(answer.token)
    assert (await made.record()).attempt == 3
    assert await made.hang_up(socket) == "caller_hung_up"


@pytest.mark.parametrize("times", [1, 5])
@on_pair()
async def test_of_two_that_are_asked_at_once_one_goes_on(made: Pair, times: int) -> None:
    await made.left_behind(*TALKING)
    answers = await asyncio.gather(*(asked.after() for _ in range(times) for asked in (made.one, made.other)))
    record = await made.record()
    token = tokens.mint(SECRET, CALL_SID, record.attempt, record.token_issued_at)
    assert {answer.verbs[0] for answer in answers} == {"Connect"}
    assert token in {answer.token for answer in answers}
    await asyncio.sleep(1)
    held = [asked for asked in (made.one, made.other) if asked.calls.get(CALL_SID) is not None]
    assert [asked.owner for asked in held] == [record.owner]
    socket = await held[0].talking(token)
    assert await made.hang_up(socket) == "caller_hung_up"
    assert (await made.other.kinds()).count("call_ended") == 1


@on_pair()
async def test_token_of_an_earlier_attempt_is_refused_everywhere(made: Pair) -> None:
    await made.left_behind(*TALKING)
    first = await made.one.after()
    await made.one.die()
    await asyncio.sleep(SEEN_DEAD_S)
    second = await made.other.after()
    assert first.token != second.token
    made.one.store.mend()
    await refused(await made.one.stream(first.token))
    await refused(await made.other.stream(first.token))
    socket = await made.other.talking(second.token)
    assert await made.hang_up(socket) == "caller_hung_up"


# ---- a stream that lands elsewhere ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [False, True], ids=["first stream", "after a loss"])
@on_pair()
async def test_stream_is_taken_where_it_lands(made: Pair, answered: bool) -> None:
    if answered:
        await made.left_behind(*TALKING)
    answer = await (made.one.after() if answered else made.one.dial())
    await asyncio.sleep(0.5)
    assert made.one.calls.count == 1
    socket = await made.other.talking(answer.token)
    record = await made.record()
    assert (record.owner, record.attempt, record.claimed) == (made.other.owner, 3 if answered else 2, True)
    await asyncio.sleep(2 * BEAT_S)
    assert made.one.calls.count == 0
    await silence(socket, CLAIM_LIMIT_S + 1)
    kinds = await made.other.kinds()
    assert kinds.count("phase_entered") == 1 and "call_ended" not in kinds
    await refused(await made.one.stream(answer.token))
    assert await made.hang_up(socket) == "caller_hung_up"


@on_pair()
async def test_stream_and_action_may_come_at_once(made: Pair) -> None:
    """The stream is taken by one, and the other is told that it has ended: the later one has the call."""
    await made.left_behind(*TALKING)
    first = await made.one.after()
    socket, answer = await asyncio.gather(made.one.stream(first.token), made.other.after())
    await asyncio.sleep(2)
    record = await made.record()
    held = {asked.owner for asked in (made.one, made.other) if asked.calls.get(CALL_SID) is not None}
    assert held == {record.owner}
    if record.owner == made.other.owner:
        assert await close_code(socket) in (1000, POLICY_VIOLATION)
        socket = await made.other.talking(answer.token)
    assert await made.hang_up(socket) == "caller_hung_up"
    assert (await made.other.kinds()).count("call_ended") == 1


@on_pair()
async def test_webhook_whose_instance_died_is_answered_by_another(made: Pair) -> None:
    """Twilio asks again: the stream goes to the dead, and is taken where the proxy sends it."""
    first = await made.one.dial()
    await made.one.die()
    again = await made.other.dial()
    assert again == first
    socket = await made.other.talking(again.token)
    await asyncio.sleep(2 * SEEN_DEAD_S)
    kinds = await made.other.kinds()
    assert kinds.count("phase_entered") == 1 and "call_ended" not in kinds
    assert await made.hang_up(socket) == "caller_hung_up"


# ---- an instance that is late with its calls ------------------------------------------------------------------------


@on_pair()
async def test_instance_that_is_late_has_another_take_the_call(made: Pair) -> None:
    made.one.calls._overloaded = lambda: True
    await asyncio.sleep(2 * BEAT_S)
    answer = await made.one.dial()
    assert answer.verbs == ["Pause", "Redirect"]
    assert "/twilio/voice?asked=1&amp;at=west</Redirect>" in answer.text
    assert await made.one.store.call(CALL_SID) is None
    assert address(await made.other.dial()) == "west"
    assert address(await made.one.dial()) == "west"  # the same webhook once more


@on_pair()
async def test_caller_is_not_sent_round_for_ever(made: Pair) -> None:
    made.one.calls._overloaded = lambda: True
    await asyncio.sleep(2 * BEAT_S)
    for asked, verbs in {"1": ["Pause", "Redirect"], "2": ["Say", "Hangup"], "x": ["Say", "Hangup"]}.items():
        assert (await made.one.post(f"/twilio/voice?asked={asked}", VOICE)).verbs == verbs


@on_pair()
async def test_when_all_are_late_nobody_is_asked_again(made: Pair) -> None:
    made.one.calls._overloaded = made.other.calls._overloaded = lambda: True
    await asyncio.sleep(2 * BEAT_S)
    assert (await made.one.dial()).verbs == ["Say", "Hangup"]


# ---- an instance that stops -----------------------------------------------------------------------------------------


@on_pair()
async def test_instance_that_stops_sends_the_call_on(made: Pair) -> None:
    await made.left_behind(*TALKING)
    made.one.calls.accepting = False
    await asyncio.sleep(2 * BEAT_S)
    answer = await made.one.after()
    assert answer.verbs == ["Pause", "Redirect"]
    assert (await made.record()).attempt == 1
    assert address(await made.other.after()) == "west"


@on_pair()
async def test_last_instance_keeps_the_call_though_it_stops(made: Pair) -> None:
    await made.left_behind(*TALKING)
    made.one.calls.accepting = made.other.calls.accepting = False
    await asyncio.sleep(2 * BEAT_S)
    answer = await made.other.after()
    assert address(answer) == "west"
    socket = await made.other.talking(answer.token)
    assert await made.hang_up(socket) == "caller_hung_up"


@on_pair()
async def test_call_is_handed_over(made: Pair) -> None:
    socket = await made.one.talking((await made.one.dial()).token)
    await asyncio.sleep(2)
    await made.one.calls.hand_over()
    assert await close_code(socket) == 1000
    assert (await made.other.kinds())[-1] == "handed_over"
    assert made.one.calls.count == 0
    again = await made.other.talking((await made.other.after()).token)
    await silence(again, CLAIM_LIMIT_S + 1)
    assert await made.hang_up(again) == "caller_hung_up"


@on_pair()
async def test_caller_who_is_about_to_come_back_is_handed_over(made: Pair) -> None:
    socket = await made.one.talking((await made.one.dial()).token)
    await asyncio.sleep(2)
    abort(socket)
    await asyncio.sleep(1)
    assert made.one.calls.at_work == {CALL_SID} and made.one.calls.count == 0
    async with asyncio.timeout(1):
        await made.one.calls.hand_over()
    await made.one.calls.end()
    assert await made.other.store.report(CALL_SID) is None
    again = await made.other.talking((await made.other.after()).token)
    assert await made.hang_up(again) == "caller_hung_up"


@on_pair()
async def test_webhook_may_be_repeated_though_nothing_was_written(made: Pair) -> None:
    """The owner died before it wrote down how the call begins, and the stream did not come."""
    await made.left_behind()
    answer = await made.other.after()
    await asyncio.sleep(1)
    assert await made.other.after() == answer
    socket = await made.other.talking(answer.token)
    assert await made.hang_up(socket) == "caller_hung_up"


@on_pair()
async def test_stream_that_comes_to_one_who_has_handed_over_is_not_used_up(made: Pair) -> None:
    """The call was still waiting for its stream: the one that stops would only end it."""
    token = (await made.one.dial()).token
    await asyncio.sleep(0.2)
    await made.one.calls.hand_over()
    await refused(await made.one.stream(token))
    record = await made.record()
    assert (record.attempt, record.claimed) == (1, False)
    answer = await made.other.after()
    socket = await made.other.talking(answer.token)
    await asyncio.sleep(1)
    kinds = await made.other.kinds()
    assert kinds.count("phase_entered") == 1
    assert await made.hang_up(socket) == "caller_hung_up"


@on_pair()
async def test_stream_of_a_call_at_work_is_taken_though_the_instance_stops(made: Pair) -> None:
    token = (await made.one.dial()).token
    made.one.calls.accepting = False
    socket = await made.one.talking(token)
    assert await made.hang_up(socket) == "caller_hung_up"


# ---- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked_first", ["one", "other"])
@on_pair(skew_s=900.0)
async def test_clocks_need_not_agree_for_a_call_to_go_on(made: Pair, asked_first: str) -> None:
    """A quarter of an hour apart: whoever is asked answers with a token of its own time, and the call's own goes on."""
    first, second = (made.one, made.other) if asked_first == "one" else (made.other, made.one)
    socket = await first.talking((await first.dial()).token)
    await asyncio.sleep(2)
    abort(socket)
    again = await second.talking((await second.after()).token)
    await asyncio.sleep(2)
    abort(again)
    once_more = await first.talking((await first.after()).token)
    await asyncio.sleep(1)
    last = (await made.other.store.journal(CALL_SID))[-1]
    assert last.at_ms <= 2 * 60_000 + 30_000, "no more than two gaps"
    assert await made.hang_up(once_more) == "caller_hung_up"
