"""A whole chat over a real socket to the twin of the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.chat.chat_flows import Script, loaded, tables, visit
from tests.fakes import open_sockets
from voicebot.call.entries import BotSaid, CallOpened, Entry, FunctionAnswered
from voicebot.call.ports import CallerLeft, CallerWrote, KeyPressed
from voicebot.chat.talk import ModelAccess, Talk
from voicebot.engine.entries import CallerSaid, JudgementMade, ObservationConfirmed, SilenceNoticed, ToolAnswered
from voicebot.errors import ModelUnavailableError
from voicebot.flow import Flow, HangUp, Observations, Phase, Report, Rule, To, ask, it, judged
from voicebot.flow.handlers import CallControl, CallEvent, handler
from voicebot.sim.brain import Brain, Calls, Says
from voicebot.sim.cooperative import AT_ONCE, CooperativeBrain
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.realtime_server import API_KEY, RealtimeServer
from voicebot.sim.realtime_session import DEFAULT_MODEL

NAMED = Calls("record", {"name": {"value": "Ada", "quote": "Ada, for two"}, "people": {"value": 2, "quote": "for two"}})


class Chat:
    """A talk and what it told."""

    def __init__(self, server: RealtimeServer, flow: Flow | None = None, *, caller: str | None = None) -> None:
        self.entries: list[Entry] = []
        access = ModelAccess(server.url, API_KEY, DEFAULT_MODEL)
        self.talk = Talk(loaded(flow), access, caller=caller, on_entry=self.entries.append)

    async def run(self, *doings: str | Callable[[Talk], object]) -> dict[str, Any]:
        """The caller says or does these, each when it is their turn, then hangs up; the report."""

        async def caller() -> None:
            for doing in doings:
                await self.talk.turn()
                if isinstance(doing, str):
                    self.talk.tell(CallerWrote(doing))
                else:
                    doing(self.talk)
            await self.talk.turn()
            self.talk.tell(CallerLeft("hangup"))

        async with asyncio.timeout(20):
            await self.talk.reach()
            await self.talk.run(caller)
        return dict(self.talk.report())

    def of(self, kind: type[Entry]) -> list[Any]:
        return [entry for entry in self.entries if isinstance(entry, kind)]

    @property
    def said(self) -> list[str]:
        return [entry.text for entry in self.of(BotSaid)]


@asynccontextmanager
async def twin(brain: Brain | None = None, **options: Any) -> AsyncIterator[RealtimeServer]:
    async with RealtimeServer(lambda: brain or CooperativeBrain(), timing=AT_ONCE, **options) as server:
        yield server


async def test_call_is_talked_through_to_its_end() -> None:
    sure = Calls("record", {"sure": {"value": True, "quote": "Thank you!"}})
    brain = Script((NAMED,), (Says("Is it right?"),), (sure,), (Says("See you. Goodbye!"),))
    async with twin(brain) as server:
        chat = Chat(server, caller="+15550123456")
        data = await chat.run("Ada, for two", "Thank you!")
        assert server.problems == []
    assert (data["ended_reason"], data["outcome"], data["progress"]) == ("completed", "booked", 1.0)
    assert data["observations"] == {"name": "Ada", "people": 2, "sure": True}
    assert [phase["name"] for phase in data["phases"]] == ["wishes", "confirm", "bye"]
    assert data["statements"][0]["heard"] == "A table for 2, Ada."
    assert (data["caller"], data["problems"]) == ("+15550123456", [])
    assert chat.said[:2] == ["Harbour Table, good day!", "A table for 2, Ada."]
    assert [entry.exact for entry in chat.of(BotSaid)][:2] == [True, True]
    assert chat.talk.failure is None


async def test_model_sees_both_sides_as_text() -> None:
    brain = Script((Says("And your name?"),), (Says("Thanks."),))
    async with twin(brain) as server:
        await Chat(server).run("For two", "Ada")
        [session] = server.sessions
    assert [(item.role, item.text) for item in brain.asked[1].items] == [
        ("assistant", "Harbour Table, good day!"),
        ("user", "For two"),
        ("assistant", "And your name?"),
        ("user", "Ada"),
    ]
    sent = [one.event["type"] for one in session.transcript if one.sender == "client" and one.event is not None]
    assert not [kind for kind in sent if "audio" in str(kind) or "truncate" in str(kind)]


async def test_tools_run_and_their_answers_are_told() -> None:
    brain = Script((Calls("tables", {"people": 2}), Calls("broken")), (Says("One is free."),))
    async with twin(brain) as server:
        chat = Chat(server)
        data = await chat.run("Is there a table for two?")
    answers = {entry.tool: (entry.ok, entry.output) for entry in chat.of(ToolAnswered)}
    assert answers["tables"] == (True, '["by the window"]')
    assert not answers["broken"][0]
    assert data["ended_reason"] == "caller_hung_up"
    assert "One is free." in chat.said


async def test_refusals_reach_the_model_as_words() -> None:
    brain = Script((Calls("record", {"people": {"value": 99, "quote": "99"}}),), (Says("At most eight."),))
    async with twin(brain) as server:
        chat = Chat(server)
        await chat.run("We are 99")
    assert "less than or equal to 8" in chat.of(FunctionAnswered)[0].output


async def test_cooperative_model_needs_no_script() -> None:
    async with twin() as server:
        chat = Chat(server)
        data = await chat.run("Hello", "My name is Ada", "two", "fine")
    assert data["observations"] == {"name": "Ada", "people": 2, "sure": True}
    assert data["ended_reason"] == "completed"


class Careful(Observations):
    name: str = ask("the caller's name", confirm="read back")
    people: int = ask("for how many people", confirm="read back")


def careful() -> Flow:
    """Reads back, judges, and has somebody to turn to."""
    wishes = Phase(
        "wishes",
        instructions="Ask who is coming.",
        observations=[it.name, it.people],
        success_criteria=[judged("the caller sounded sure")],
        transitions=[To("bye")],
    )
    return visit(
        observations=Careful,
        phases=[wishes, Phase("human", instructions="Pass them on.", end=HangUp()), Phase("bye", end=HangUp())],
        rules=[Rule("human", when="the caller asks for a human being", then=To("human"))],
        report=Report(),
    )


async def test_cooperative_model_reads_back_and_judges() -> None:
    async with twin() as server:
        chat = Chat(server, careful())
        data = await chat.run("Hello", "Ada", "two", "no", "Grace", "yes, right")
    assert "Thank you. I have noted name: Ada; people: 2. Is that right?" in chat.said
    assert data["observations"] == {"name": "Grace", "people": 2}
    assert {entry.name for entry in chat.of(ObservationConfirmed)} == {"name", "people"}
    assert [entry.criterion for entry in chat.of(JudgementMade)] == ["the caller sounded sure"]
    assert [phase["name"] for phase in data["phases"]] == ["wishes", "bye"]


async def test_cooperative_model_applies_the_flows_rules() -> None:
    async with twin() as server:
        data = await Chat(server, careful()).run("Hello", "Can I speak to a human being?")
    assert [phase["name"] for phase in data["phases"]] == ["wishes", "human"]


async def test_silence_is_kept_when_it_is_asked_for() -> None:
    async with twin() as server:
        chat = Chat(server)
        data = await chat.run(Talk.keep_silent, Talk.keep_silent)
    assert [entry.rung for entry in chat.of(SilenceNoticed)] == [0, 1]
    assert data["ended_reason"] == "silence"


async def test_time_passes_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow ends after a second, and its silences last one: neither is noticed while the caller types."""
    async with twin() as server:
        chat = Chat(server)
        loop = asyncio.get_running_loop()
        now, ahead = loop.time, [0.0]
        monkeypatch.setattr(loop, "time", lambda: now() + ahead[0])

        def think(talk: Talk) -> None:
            ahead[0] += 5.0
            talk.tell(KeyPressed("5"))

        data = await chat.run(think, "Hello", think, "Ada", "two")
    assert not chat.of(SilenceNoticed)
    assert data["ended_reason"] == "caller_hung_up"
    assert data["observations"] == {"name": "Ada", "people": 2, "sure": None}


async def test_each_call_has_an_id_of_its_own() -> None:
    async with twin() as server:
        reports = [await Chat(server).run() for _ in range(2)]
    assert len({data["call_sid"] for data in reports}) == 2
    assert all(data["call_sid"].startswith("chat-") for data in reports)


async def test_handlers_of_the_flow_are_told() -> None:
    told: list[str] = []

    @handler("transcript", "end")
    def note(event: CallEvent, call: CallControl) -> None:
        told.append(str(event.facts.get("text", event.kind)))

    async with twin() as server:
        await Chat(server, visit(handlers=[note])).run("Ada")
    assert told[0] == "Harbour Table, good day!"
    assert "Ada" in told
    assert told[-1] == "end"


async def test_entries_come_in_the_order_of_the_call() -> None:
    async with twin() as server:
        chat = Chat(server)
        await chat.run("Hello", "Ada")
    assert isinstance(chat.entries[0], CallOpened)
    assert [entry.text for entry in chat.of(CallerSaid)] == ["Hello", "Ada"]
    assert chat.entries.index(chat.of(CallerSaid)[1]) < chat.entries.index(chat.of(FunctionAnswered)[0])


# ---- faults ---------------------------------------------------------------------------------------------------------


async def test_server_that_refuses_is_told_before_the_call() -> None:
    async with twin(api_key="sk-other") as server:
        chat = Chat(server)
        with pytest.raises(ModelUnavailableError, match="answered 401"):
            await chat.run("Ada")
    assert chat.entries == []


async def test_server_that_is_not_there_is_told_before_the_call() -> None:
    async with twin() as server:
        pass
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await Chat(server).run("Ada")


async def test_failed_replies_are_asked_for_again() -> None:
    async with twin(quirks=Quirks(fail_responses=(1,))) as server:
        data = await Chat(server).run("Hello", "Ada", "two")
    assert data["observations"] == {"name": "Ada", "people": 2, "sure": None}
    assert [problem["kind"] for problem in data["problems"]] == ["reply_failed"]


async def test_model_that_keeps_failing_ends_the_call() -> None:
    async with twin(quirks=Quirks(fail_responses=tuple(range(1, 9)))) as server:
        chat = Chat(server)
        data = await chat.run("Hello", "Ada")
    assert data["ended_reason"] == "model_failed"
    assert chat.talk.failure is not None


@pytest.mark.parametrize("drop_at_event", [12, 25, 40])
async def test_connection_that_breaks_is_taken_up_again(drop_at_event: int) -> None:
    async with twin(quirks=[Quirks(drop_at_event=drop_at_event)]) as server:
        chat = Chat(server)
        data = await chat.run("Hello", "Ada", "two")
        assert server.connections == 2
    assert data["observations"] == {"name": "Ada", "people": 2, "sure": None}
    assert [problem["kind"] for problem in data["problems"]] == ["model_lost"]


async def test_no_connection_outlives_the_chat() -> None:
    async with twin() as server:
        await Chat(server).run("Ada")
        assert server.connections == 1
        for _ in range(100):
            if not open_sockets(server):
                break
            await asyncio.sleep(0)
        assert not open_sockets(server)


async def test_caller_that_breaks_ends_the_chat() -> None:
    async with twin() as server:
        chat = Chat(server)

        def break_down(talk: Talk) -> None:
            raise OSError("the terminal burns")

        with pytest.raises(ExceptionGroup) as caught:
            await chat.run(break_down)
    assert caught.group_contains(OSError, match="burns")


def test_key_is_not_shown() -> None:
    assert "sk-canary" not in repr(ModelAccess("ws://x", "sk-canary", "m"))


def test_tools_of_the_sample_work() -> None:
    assert tables(2) == ["by the window"]
