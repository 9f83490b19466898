"""Whole calls at the table: what seeds change and what they never change, faults, and defects of the product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.end_to_end.reception import HANGS_UP, HANGS_UP_AT_ONCE, VISIT, shelf
from voicebot.call.core import CallCore
from voicebot.call.entries import CallEnded, ModelConnected, ModelGone
from voicebot.call.events import Effect
from voicebot.call.ports import Reply, SendMark
from voicebot.engine.entries import CallerSaid, PhaseEntered, ToolAnswered
from voicebot.flow import Flow, HangUp, Observations, Phase, Say, To, ask, it, tool
from voicebot.flow.handlers import CallControl, CallEvent, Handler, handler
from voicebot.flow.loader import LoadedFlow, load_flow
from voicebot.sim.brain import Calls, Context, Output, Says
from voicebot.sim.caller import Caller, Moment, PutDown, Speak
from voicebot.sim.caller import HangUp as Gone
from voicebot.sim.scenario import Exchange, Expected, Scenario, noted
from voicebot.sim.scenario import Say as Speaks
from voicebot.sim.table import TableRead, play, table_read
from voicebot.sim.table_chance import TableFaults

VISITED = shelf.get("visit")
SEEDS = range(40)
MISCONDUCT = ("the call: ", "the call broke", "towards the model: ")


def read(seed: int = 0, scenario: Scenario = VISIT, faults: TableFaults | None = None) -> TableRead:
    return table_read(scenario, VISITED, seed=seed, faults=faults)


def decisions(of: TableRead) -> list[str]:
    return [entry.phase for _, entry in of.journal if isinstance(entry, PhaseEntered)]


# ---- seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_scenario_passes_with_every_seed(seed: int) -> None:
    assert read(seed).problems == ()


def test_seed_repeats_exactly() -> None:
    for seed in (0, 7):
        assert read(seed).stored == read(seed).stored


def test_seeds_differ_in_times_and_orders_alone() -> None:
    reads = [read(seed) for seed in SEEDS]
    assert len({one.duration_s for one in reads}) == len(SEEDS)
    orders = {tuple(type(entry).__name__ for _, entry in one.journal) for one in reads}
    assert len(orders) > 5
    assert {tuple(decisions(one)) for one in reads} == {("reception", "bye")}


def test_report_is_a_fold_of_its_journal() -> None:
    report = read().report
    assert report["observations"] == {"name": "Ada Lovelace", "reason": "toothache"}
    assert (report["caller"], report["ended_reason"], len(report["transcript"])) == ("+15550123456", "completed", 5)


def test_caller_hears_what_was_played_and_no_more() -> None:
    cut = next(said for said in read().heard if not said.complete)
    assert "Hello Ada, what can I do for you".startswith(cut.text)
    assert (cut.end_ms - cut.start_ms) // 60 == len(cut.text) + 1


@pytest.mark.parametrize("line_delay_s", [(0.0, 0.0), (0.15, 0.15), (0.15, 0.02), (0.02, 0.15)])
@pytest.mark.parametrize("jitter_s", [0.0, 0.1])
def test_ledger_holds_over_lines_with_delay(line_delay_s: tuple[float, float], jitter_s: float) -> None:
    for seed in range(6):
        assert read(seed, faults=TableFaults(line_delay_s=line_delay_s, jitter_s=jitter_s)).problems == ()


# ---- how calls end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_caller_hangs_up_while_the_bot_speaks(seed: int) -> None:
    assert read(seed, HANGS_UP).problems == ()


def test_last_words_are_in_the_report() -> None:
    transcript = read(0, HANGS_UP_AT_ONCE).report["transcript"]
    assert transcript[-1]["text"] == "Sorry, I dialled the wrong number."


@pytest.mark.parametrize("seed", range(10))
def test_caller_hangs_up_before_there_is_a_stream(seed: int) -> None:
    played = play(VISITED, VISIT.brain(), Caller([Gone()]), seed=seed)
    assert played.journal[-1][1] in (CallEnded("never_connected"), CallEnded("caller_hung_up"))
    assert played.problems == ()


def test_withheld_number_is_none() -> None:
    played = play(VISITED, VISIT.brain(), Caller(()), caller_number="anonymous")
    assert played.record.caller is None


class NeverSilent:
    """A brain that always has something to say."""

    def respond(self, context: Context) -> Sequence[Output]:
        return (Says("And another thing."),)


class Waits:
    """A caller of whom nothing comes, not even an end; not a `Resting` one."""

    problems: Sequence[str] = ()

    def step(self, moment: Moment) -> Sequence[Speak | PutDown]:
        return (Speak("Yes?"),) if moment.at_ms % 3000 == 0 else ()

    def line_ended(self, at_ms: float) -> None:
        """He does not mind."""


def test_call_without_end_is_given_up() -> None:
    played = play(VISITED, NeverSilent(), Waits(), limit_s=30.0)
    assert played.problems[0] == "the call did not end within 30 s"
    assert played.duration_s <= 30.0


# ---- faults ---------------------------------------------------------------------------------------------------------


def test_lost_model_is_replaced() -> None:
    played = read(0, faults=TableFaults(model_lost_at_s=(6.0,)))
    kinds = [type(entry) for _, entry in played.journal]
    assert kinds.count(ModelGone) == 1
    assert kinds.count(ModelConnected) == 2
    assert not [one for one in played.problems if one.startswith(MISCONDUCT)]


def test_model_that_does_not_return_ends_the_call() -> None:
    played = read(0, faults=TableFaults(model_lost_at_s=(6.0,), model_returns=False))
    assert played.report["ended_reason"] == "model_failed"
    assert not [one for one in played.problems if one.startswith(MISCONDUCT)]


def test_failing_replies_are_survived() -> None:
    for seed in range(10):
        played = read(seed, faults=TableFaults(reply_failures=0.2))
        assert not [one for one in played.problems if one.startswith(MISCONDUCT)]


def test_failed_transcripts_are_told() -> None:
    played = read(0, faults=TableFaults(transcript_loss=1.0))
    assert not any(isinstance(entry, CallerSaid) for _, entry in played.journal)
    assert any("the transcript has the caller say []" in problem for problem in played.problems)


def test_wrong_reading_is_noticed_and_tried_again() -> None:
    assert read(0, faults=TableFaults(misreadings=1)).problems == ()


# ---- tools ----------------------------------------------------------------------------------------------------------


class Order(Observations):
    size: str = ask("the size")


@tool
def price(size: str) -> str:
    """What a pizza of this size costs."""
    return f"{size}: twelve euro fifty"


@tool(timeout_s=5.0)
async def oven(minutes: float) -> str:
    """Whether the oven is free."""
    await asyncio.sleep(minutes)
    return "free"


@tool
def broken() -> str:
    """Something that does not work."""
    raise RuntimeError("no")


def pizza(handlers: Sequence[Handler] = ()) -> LoadedFlow:
    flow = Flow(
        goal="Sell one pizza.",
        observations=Order,
        opening="Pizzeria.",
        phases=(
            Phase("order", instructions="Ask for the size.", observations=(it.size,), transitions=(To("bye"),)),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ),
        tools_everywhere=(price, oven, broken),
        handlers=handlers,
    )
    return load_flow("pizza", flow)


@pytest.mark.parametrize(
    ("call", "answer", "longest_ms"),
    [
        (Calls("price", {"size": "large"}), ("price", "large: twelve euro fifty", True), 200),
        (Calls("oven", {"minutes": 1.0}), ("oven", "free", True), 1200),
        (Calls("oven", {"minutes": 90}), ("oven", "took too long", False), 5200),
        (Calls("broken"), ("broken", "failed (RuntimeError)", False), 200),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tools_really_run(call: Calls, answer: tuple[str, str, bool], longest_ms: int, seed: int) -> None:
    ends = Calls("end_call", {"reason": "caller_wants_to_stop"})
    asks = Exchange(Speaks("A large one?"), ((call,), (Says("Well. Goodbye!"), ends)))
    played = table_read(Scenario("tools", "pizza", (asks,), Expected()), pizza(), seed=seed)
    assert played.problems == ()
    [answered] = [entry for _, entry in played.journal if isinstance(entry, ToolAnswered)]
    assert (answered.tool, answered.ok) == (answer[0], answer[2])
    assert answer[1] in answered.output
    assert longest_ms - 200 <= answered.took_ms <= longest_ms


# ---- handlers -------------------------------------------------------------------------------------------------------

TOLD: list[tuple[str, str]] = []


@handler("transcript", "phase", "end")
async def steer(event: CallEvent, call: CallControl) -> None:
    await asyncio.sleep(1.0)
    TOLD.append((event.call_sid, event.kind))
    if event.facts.get("speaker") == "caller":
        call.hang_up()


@handler()
def broken_handler(event: CallEvent, call: CallControl) -> None:
    raise RuntimeError(event.kind)


@pytest.mark.parametrize("seed", range(4))
def test_handlers_are_told_and_may_steer(seed: int) -> None:
    asks = Exchange(Speaks("A large one?"), ((Says("Well."),), (Says("Goodbye!"),)))
    steered = pizza((steer, broken_handler))
    played = table_read(Scenario("ends", "pizza", (asks,), Expected(phases=("order",))), steered, seed=seed)
    assert [one for one in played.problems if one.startswith(MISCONDUCT)] == []
    assert played.report["ended_reason"] not in ("silence", "caller_hung_up")
    kinds = [kind for call_sid, kind in TOLD if call_sid == played.record.call_sid]
    assert kinds[0] == "phase"
    assert kinds[-1] == "end"
    assert kinds.count("transcript") >= 2


# ---- defects of the product -----------------------------------------------------------------------------------------

Handles = Callable[[CallCore, object, float], list[Effect]]


def with_defect(monkeypatch: pytest.MonkeyPatch, name: str, defect: Callable[[Handles], Handles]) -> None:
    monkeypatch.setattr(CallCore, name, defect(getattr(CallCore, name)))


def test_dropped_marks_are_found() -> None:
    problems = read(0, faults=TableFaults(mark_loss=1.0)).problems
    assert any(
        "of 'Hello Ada, what can I do for you today?…' the caller heard" in problem
        and problem.endswith("the journal says 0 ms")
        for problem in problems
    )
    assert any("before the call noticed it" in problem for problem in problems)


def test_marks_that_are_not_sent_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(handle: Handles) -> Handles:
        return lambda core, event, now: [one for one in handle(core, event, now) if not isinstance(one, SendMark)]

    with_defect(monkeypatch, "handle", forgetful)
    assert any(problem.endswith("the journal says 0 ms") for problem in read().problems)


def test_double_greeting_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def greets_twice(connect: Handles) -> Handles:
        def doubled(core: CallCore, stream_sid: object, now: float) -> list[Effect]:
            effects = connect(core, stream_sid, now)
            opening = core.engine.flow.opening
            assert opening is not None
            again = core.speaker.play_statement(opening, b"", now)
            audio = [effect for effect in effects if getattr(effect, "payload", b"")]
            return [*effects, *again[:1], *audio, *again[1:]]

        return doubled

    with_defect(monkeypatch, "connect", greets_twice)
    problems = [problem for seed in SEEDS for problem in read(seed).problems]
    assert "the caller heard 'Good morning, practice of Doctor Rossi.' instead of 'Hello Ada, what can I do" in "".join(
        problem[:104] for problem in problems
    )


def test_doubled_replies_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def eager(handle: Handles) -> Handles:
        def doubled(core: CallCore, event: object, now: float) -> list[Effect]:
            effects = handle(core, event, now)
            again = [replace(one, reply_id=f"{one.reply_id}-again") for one in effects if isinstance(one, Reply)]
            return [*effects, *again]

        return doubled

    with_defect(monkeypatch, "handle", eager)
    expected = "the call: reply-1-again was asked for while reply-1 was under way: two replies at once"
    assert expected in read().problems


def test_core_that_breaks_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(handle: Handles) -> Handles:
        def broken(core: CallCore, event: object, now: float) -> list[Effect]:
            if now > 5:
                raise KeyError("reply-1")
            return handle(core, event, now)

        return broken

    with_defect(monkeypatch, "handle", breaks)
    played = read()
    assert played.problems[0].startswith("the call broke: KeyError: 'reply-1' (")
    assert played.report["ended_reason"] == "error"


def test_deadline_that_stands_still_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CallCore, "deadline", lambda core: 3.0)
    assert read().problems[0] == "the call broke: its deadline stands still"


def test_negated_guard_is_found() -> None:
    class Choice(Observations):
        urgent: bool = ask("whether it is urgent")

    def practice(guard: object) -> Flow:
        return Flow(
            goal="Sort calls.",
            observations=Choice,
            opening="Practice.",
            phases=(
                Phase(
                    "sort",
                    instructions="Ask whether it is urgent.",
                    observations=(it.urgent,),
                    transitions=(To("doctor", when=guard), To("desk")),  # type: ignore[arg-type]
                ),
                Phase("doctor", instructions="Say that the doctor comes.", end=HangUp()),
                Phase("desk", instructions="Say that the desk calls back.", end=HangUp()),
            ),
        )

    scenario = Scenario(
        "urgent",
        "practice",
        (Exchange(Speaks("It is urgent!"), ((noted(urgent=(True, "It is urgent")),), (Says("He comes."),))),),
        Expected(phases=("sort", "doctor")),
    )
    right, wrong = (load_flow("practice", practice(guard)) for guard in (it.urgent.yes, ~it.urgent.yes))
    for seed in range(5):
        assert table_read(scenario, right, seed=seed).problems == ()
        assert table_read(scenario, wrong, seed=seed).problems == (
            "phases: expected ('sort', 'doctor'), reported ('sort', 'desk')",
        )


def test_statement_must_be_heard_to_its_end() -> None:
    phases = (
        Phase(
            "reception",
            instructions="Say it.",
            must_say=(Say("The doctor is away.", name="away"),),
            transitions=(To("bye"),),
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    )
    loaded = load_flow("away", Flow(goal="Tell.", observations=Order, opening="Hello.", phases=phases))
    scenario = Scenario(
        "away",
        "away",
        (Exchange(Speaks("Hm?"), ((Says("Goodbye!"),),)),),
        Expected(phases=("reception", "bye"), statements=("The doctor is away.",)),
    )
    for seed in range(5):
        assert table_read(scenario, loaded, seed=seed).report["statements"][0]["heard"] == "The doctor is away."
    lost = table_read(scenario, loaded, faults=TableFaults(mark_loss=1.0))
    assert lost.report["statements"][0]["heard"] is None
