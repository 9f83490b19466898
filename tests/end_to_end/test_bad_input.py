"""What comes in wrong: a clear error, a sentence for the caller, and nothing else disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tests.end_to_end.reception import HANGS_UP, HANGS_UP_AT_ONCE, VISIT, shelf
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.server.lifecycle import MOST_ATTEMPTS
from voicebot.sim.call_result import CallResult
from voicebot.sim.clock import run_virtual
from voicebot.sim.line import MALFORMED_FRAMES, LineFaults
from voicebot.sim.phone import DialOutcome
from voicebot.sim.realtime_quirks import Quirks
from voicebot.sim.stage import Stage, rehearse, stage
from voicebot.sim.timeline import StreamFailed, StreamOpened, VerbPlayed, WebhookAnswered


def sentences(result: CallResult) -> list[str]:
    """What the phone line itself was told to say."""
    return [event.detail for event in result.events if isinstance(event, VerbPlayed) and event.verb == "Say"]


def on_stage(
    play: Callable[[Stage], Coroutine[object, object, None]],
    *,
    flows: FlowShelf = shelf,
    settings: dict[str, object] | None = None,
    quirks: Quirks | None = None,
) -> None:
    async def run() -> None:
        brain = VISIT.brain()
        async with stage(
            flows, lambda: brain, default_flow="visit", settings=settings, quirks=quirks or Quirks()
        ) as made:
            await play(made)

    run_virtual(run())


@pytest.mark.parametrize("fault", ["forged", "missing"])
def test_forged_webhook_opens_nothing(fault: str) -> None:
    async def play(made: Stage) -> None:
        result = await made.phone(VISIT, faults=LineFaults(webhook_signature=fault)).call()  # type: ignore[arg-type]
        statuses = {event.status for event in result.events if isinstance(event, WebhookAnswered)}
        assert statuses == {403}
        assert made.model.connections == 0
        assert made.crm.received == []

    on_stage(play)


@pytest.mark.parametrize("fault", ["forged", "missing"])
def test_forged_stream_is_refused_and_reported(fault: str) -> None:
    async def play(made: Stage) -> None:
        result = await made.phone(VISIT, faults=LineFaults(stream_signature=fault)).call()  # type: ignore[arg-type]
        assert any(isinstance(event, StreamFailed) for event in result.events)
        assert not any(isinstance(event, StreamOpened) for event in result.events)
        await made.crm.wait_for(1, 30.0)
        assert made.crm.received[0].payload["data"]["ended_reason"] == "never_connected"  # type: ignore[index]

    on_stage(play)


def test_repeated_webhook_is_one_call() -> None:
    rehearsal = run_virtual(rehearse(VISIT, shelf, faults=LineFaults(duplicate_webhook=True)))
    assert rehearsal.problems == ()
    assert len(rehearsal.sessions) == 1


def test_malformed_frames_leave_the_call_alone() -> None:
    rehearsal = run_virtual(rehearse(VISIT, shelf, faults=LineFaults(inject=MALFORMED_FRAMES)))
    assert rehearsal.problems == ()


def test_malformed_flood_disturbs_its_own_call_alone() -> None:
    """Its stream is given up each time, and opened anew a bounded number of times."""

    async def play(made: Stage) -> None:
        flood = LineFaults(inject=tuple((500 + number, "not json") for number in range(40)))
        broken, whole = await asyncio.gather(made.phone(HANGS_UP, faults=flood).call(), made.phone(VISIT).call())
        assert whole.problems == () and whole.ended_by == "server"
        assert 1 < len(broken.streams) <= MOST_ATTEMPTS
        await made.crm.wait_for(2, 30.0)
        reasons = {
            str(one.payload["data"]["call_sid"]): one.payload["data"]["ended_reason"]  # type: ignore[index]
            for one in made.crm.received
        }
        assert len(made.crm.received) == 2
        assert reasons[whole.call_sid] == "completed"
        assert reasons[broken.call_sid] in ("connection_lost", "caller_hung_up")

    on_stage(play)


def test_unknown_flow_is_a_sentence() -> None:
    async def play(made: Stage) -> None:
        result = await made.phone(VISIT).call()
        assert len(sentences(result)) == 1
        assert made.model.connections == 0

    on_stage(play, settings={"VOICEBOT_DEFAULT_FLOW": "nobody_wrote_it"})


def test_unreachable_model_is_a_sentence_and_a_report() -> None:
    async def play(made: Stage) -> None:
        made.model.available = False
        result = await made.phone(VISIT).call()
        assert len(sentences(result)) == 1
        await made.crm.wait_for(1, 30.0)
        assert made.crm.received[0].payload["data"]["ended_reason"] == "model_failed"  # type: ignore[index]

    on_stage(play)


def test_model_that_refuses_the_key_is_a_sentence() -> None:
    async def play(made: Stage) -> None:
        assert len(sentences(await made.phone(VISIT).call())) == 1

    on_stage(play, settings={"OPENAI_API_KEY": "sk-wrong"})


def test_model_that_breaks_off_is_a_sentence() -> None:
    async def play(made: Stage) -> None:
        result = await made.phone(VISIT).call()
        assert len(sentences(result)) == 1
        await made.crm.wait_for(1, 30.0)
        data = made.crm.received[0].payload["data"]  # type: ignore[index]
        assert data["ended_reason"] == "model_failed"
        assert {problem["kind"] for problem in data["problems"]} == {"model_lost"}
        assert len(made.model.sessions) > 1, "another one was tried"

    on_stage(play, quirks=Quirks(drop_at_event=60))


def test_model_that_only_fails_is_a_sentence() -> None:
    async def play(made: Stage) -> None:
        assert len(sentences(await made.phone(VISIT).call())) == 1

    on_stage(play, quirks=Quirks(fail_responses=tuple(range(1, 20))))


def test_broken_flow_file_leaves_the_others(tmp_path: Path) -> None:
    good = Path(__file__).with_name("reception.py").read_text()
    (tmp_path / "visit.py").write_text(good)
    (tmp_path / "broken.py").write_text("from voicebot.flow import Flow\nflow = Flow(goal='x', phases=[\n")
    loaded = load_folder(tmp_path)
    assert [str(problem).split(": ")[0] for problem in loaded.problems] == [f"{tmp_path / 'broken.py'}:2"]
    rehearsal = run_virtual(rehearse(VISIT, loaded))
    assert rehearsal.problems == ()


def test_full_house_is_a_sentence() -> None:
    async def play(made: Stage) -> None:
        first = asyncio.ensure_future(made.phone(VISIT).call())
        await asyncio.sleep(2.0)
        second = await made.phone(HANGS_UP).call()
        assert len(sentences(second)) == 1
        assert (await first).problems == ()

    on_stage(play, settings={"VOICEBOT_MAX_CALLS": 1})


@pytest.mark.parametrize(("choice", "verbs"), [("busy", ["Reject"]), ("+15550199199", ["Say", "Dial"])])
def test_full_house_is_what_the_operator_chose(choice: str, verbs: list[str]) -> None:
    async def play(made: Stage) -> None:
        first = asyncio.ensure_future(made.phone(VISIT).call())
        await asyncio.sleep(2.0)
        second = await made.phone(HANGS_UP, dial=DialOutcome("completed", ring_s=2.0, talk_s=5.0)).call()
        assert [event.verb for event in second.events if isinstance(event, VerbPlayed)] == verbs
        assert second.violations == ()
        assert (await first).problems == ()

    on_stage(play, settings={"VOICEBOT_MAX_CALLS": 1, "VOICEBOT_OVERFLOW": choice})


def test_hang_up_is_reported_with_what_was_said() -> None:
    rehearsal = run_virtual(rehearse(HANGS_UP, shelf))
    assert rehearsal.report["ended_reason"] == "caller_hung_up"
    assert rehearsal.report["observations"] == {"name": "Ada Lovelace", "reason": None}
    assert rehearsal.report["observation_status"]["reason"] == "unasked"


def test_last_words_are_in_the_report() -> None:
    rehearsal = run_virtual(rehearse(HANGS_UP_AT_ONCE, shelf))
    assert [line["text"] for line in rehearsal.report["transcript"] if line["speaker"] == "caller"] == [
        "Sorry, I dialled the wrong number."
    ]
    assert rehearsal.report["ended_reason"] == "caller_hung_up"
