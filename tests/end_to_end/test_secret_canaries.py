"""A card number that is pressed, and spoken meanwhile, reaches the receiver that is declared for it and nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.redis_server import RedisServer
from voicebot.audio import g711
from voicebot.audio.formats import AudioFormat
from voicebot.flow import (
    Analysis,
    Flow,
    HangUp,
    Keypad,
    Limits,
    Observations,
    Phase,
    PhaseLimits,
    Receiver,
    Report,
    To,
    ask,
    it,
)
from voicebot.flow.loader import FlowShelf, load_flow
from voicebot.recording.files import RecordingFolder
from voicebot.sim.account import WEBHOOK_SECRET
from voicebot.sim.brain import Calls, Says
from voicebot.sim.clock import run_virtual, wall_clock
from voicebot.sim.crm import CrmSink
from voicebot.sim.line import LineFaults
from voicebot.sim.listener import Listener
from voicebot.sim.scenario import Exchange, Expected, Press, Say, Scenario
from voicebot.sim.stage import Stage, stage
from voicebot.sim.verdict import VIRTUAL_START
from voicebot.store.contract import StoredEntry

CARD = "4929123412341234"
SPOKEN = "four nine two nine one two three four"
PROMPT = "Please enter the number of your card, and then the hash key."
ASIDE = "Thank you, that is all."
LOUD = 100  # of 32767: a resampler rings longer, but not as loud


class Order(Observations):
    name: str = ask("the caller's name")
    card: str = ask("the card number", secret=True, keypad=Keypad(prompt=PROMPT))
    thanks: str = ask("their last words")


def line_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """All there is."""
    return {"call": event["data"]["call_sid"], "all": event["data"]}


def short(event: Mapping[str, Any]) -> dict[str, Any]:
    """The card alone."""
    return {"paid_by": event["data"]["observations"]["card"]}


def flow_for(bank: str, ledger: str) -> Flow:
    return Flow(
        goal="Take an order.",
        observations=Order,
        opening="Good morning.",
        limits=Limits(phase=PhaseLimits(turns=9, then="bye")),
        phases=[
            Phase(
                "order", instructions="Who is it?", observations=[it.name, it.card, it.thanks], transitions=[To("bye")]
            ),
            Phase("bye", instructions="Say goodbye.", end=HangUp()),
        ],
        report=Report(
            outcome={"paid": it.card.filled},
            analysis=Analysis(),
            receivers=[
                Receiver("bank", url=bank, secrets=[it.card]),
                Receiver("till", url=bank, body=short, secrets=[it.card]),
                Receiver("ledger", url=ledger, body=line_of, events=["call.started", "call.completed"]),
            ],
        ),
    )


NAME = {"name": {"value": "Ada Lovelace", "quote": "this is Ada Lovelace"}}
THANKS = {"thanks": {"value": "that is all", "quote": "that is all"}}
CALL = Scenario(
    "card",
    "shop",
    (
        Exchange(
            Say("Hello, this is Ada Lovelace."),
            ((Calls("record", NAME),), (Says("Thank you. Is there anything else?"),)),
        ),
        Exchange(Say(f"My card is {SPOKEN}.")),
        Exchange(Press(f"{CARD[:6]}", after_bot=False)),
        Exchange(Press(f"{CARD[6:]}#", after_bot=False)),
        Exchange(Say(ASIDE), ((Calls("record", THANKS),), (Says("Goodbye, Ada."),))),
    ),
    Expected(),
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """Everything that somebody could have read or heard."""

    log: str
    journal: tuple[StoredEntry, ...]
    to_model: tuple[str, ...]
    turns: tuple[str, ...]
    spoken_ms: float  # the caller's turns, as the model's ear has them
    loud_ms: float  # audio that was sent to the model and is no silence
    kept: bytes
    vault: Mapping[str, bytes]
    report: str
    bodies: Mapping[str, str]
    outbox: str
    recorded: tuple[str, ...] | None  # the utterances of both sides; None where nothing is recorded


class _Everything(logging.Handler):
    """Keeps whatever any logger says, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__}")


async def play(
    codec: str, store: str | None, folder: Path, scenario: Scenario = CALL, faults: LineFaults | None = None
) -> Seen:
    settings: dict[str, object] = {"VOICEBOT_STORE": store or f"sqlite:///{folder}/data/calls.db"}
    settings["VOICEBOT_RECORD"] = "off" if store else "all"  # recordings lie beside an embedded store
    brain = scenario.brain()
    wall = wall_clock(VIRTUAL_START)
    async with CrmSink(WEBHOOK_SECRET, wall=wall) as bank, CrmSink(WEBHOOK_SECRET, wall=wall) as ledger:
        shelf = FlowShelf({"shop": load_flow("shop", flow_for(bank.url, ledger.url))})
        on_stage = stage(shelf, lambda: brain, default_flow="shop", codec=codec, settings=settings, receivers=True)
        async with on_stage as on:
            result = await on.phone(scenario, faults=faults).call()
            await on.crm.wait_for(1, 60)
            await bank.wait_for(2, 60)
            await ledger.wait_for(2, 60)
            assert not result.problems, result.problems
            assert not brain.problems, brain.problems
            return await read(on, codec, result.call_sid, bank, ledger, folder)


async def read(on: Stage, codec: str, call_sid: str, bank: CrmSink, ledger: CrmSink, folder: Path) -> Seen:
    async with on.reading() as store:
        for _ in range(600):  # a worker records that it was delivered a moment after it was
            if not (vault := await store.secrets(call_sid)):
                break
            await asyncio.sleep(0.1)
        journal, report = await store.journal(call_sid), await store.report(call_sid) or ""
        rows = await store.deliveries(50)
    sent = [one for session in on.model.sessions for one in session.transcript if one.sender == "client"]
    turns = [turn for session in on.model.sessions for turn in session.user_turns]
    audio = [base64.b64decode(one.event["audio"]) for one in sent if one.event["type"] == "input_audio_buffer.append"]
    decode = g711.decode if codec == "pcmu" else partial(np.frombuffer, dtype="<i2")
    loud_ms = sum(len(one) / AudioFormat(codec).bytes_per_ms for one in audio if np.abs(decode(one)).max() > LOUD)
    return Seen(
        log="",
        journal=tuple(journal),
        to_model=tuple(json.dumps(one.event) for one in sent),
        turns=tuple(turn.text for turn in turns),
        spoken_ms=sum(turn.end_ms - turn.start_ms for turn in turns),
        loud_ms=loud_ms,
        kept=bytes_in(folder),
        vault=vault,
        report=report,
        bodies={
            "crm": b"".join(one.body for one in on.crm.received).decode(),
            "bank": b"\n".join(one.body for one in bank.received).decode(),
            "ledger": b"".join(one.body for one in ledger.received).decode(),
        },
        outbox=json.dumps([repr(row) for row in rows]),
        recorded=recorded(folder / "data" / "recordings", json.loads(report)["data"]["recording"]),
    )


def recorded(folder: Path, told: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """What somebody hears who plays the recording, the caller's side before the other one."""
    if told is None:
        return None
    parts = list(dict.fromkeys(part["id"] for part in told["parts"]))
    audio = b"".join(b"".join(RecordingFolder(folder, ()).play(part)) for part in parts)
    heard = []
    for side in (audio[::2], audio[1::2]):
        listener = Listener(8_000)
        heard += [*listener.feed(g711.decode(side)), *listener.flush()]
    return tuple(one.text for one in heard)


def bytes_in(folder: Path) -> bytes:
    """All that the store has written, its logs of changes included."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def seen_with(codec: str, store: str | None, folder: Path) -> Seen:
    root, everything = logging.getLogger(), _Everything()
    level = root.level
    root.addHandler(everything)
    root.setLevel(logging.DEBUG)
    try:
        return replace(run_virtual(play(codec, store, folder)), log="\n".join(everything.lines))
    finally:
        root.removeHandler(everything)
        root.setLevel(level)


@pytest.fixture(scope="module", params=["sqlite pcm", "sqlite pcmu", "redis pcm"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    store, codec = request.param.split()
    folder = tmp_path_factory.mktemp(store)
    if store == "sqlite":
        yield seen_with(codec, None, folder)
        return
    with RedisServer(folder) as server:
        yield seen_with(codec, server.address, folder)


def test_declared_receivers_get_it(seen: Seen) -> None:
    bodies = [json.loads(body) for body in seen.bodies["bank"].splitlines()]
    (whole,) = [body for body in bodies if "data" in body]
    assert whole["data"]["observations"] == {"name": "Ada Lovelace", "card": CARD, "thanks": "that is all"}
    assert {"paid_by": CARD} in bodies
    assert seen.bodies["bank"].count(CARD) == 2


def test_others_read_that_it_was_entered(seen: Seen) -> None:
    for body in (seen.bodies["crm"], seen.report):
        told = json.loads(body)["data"]
        assert told["observations"]["card"] == "***"
        assert told["observation_status"]["card"] == "filled"
        assert told["evidence"]["card"]["kind"] == "keypad"
        assert told["outcome"] == "paid"


def test_card_is_nowhere_else(seen: Seen) -> None:
    texts = {
        "log": seen.log,
        "journal": "".join(one.body for one in seen.journal),
        "to the model": "".join(seen.to_model),
        "heard by the model": " ".join(seen.turns),
        "report": seen.report,
        "crm": seen.bodies["crm"],
        "ledger": seen.bodies["ledger"],
        "outbox": seen.outbox,
        "store": seen.kept.decode("latin-1"),
    }
    found = [where for where, text in texts.items() if CARD in text or SPOKEN in text or CARD[6:] in text]
    assert found == []


def test_keys_are_masked_in_the_journal(seen: Seen) -> None:
    pressed = [json.loads(one.body)["digit"] for one in seen.journal if one.kind == "key_press"]
    assert pressed == ["•"] * (len(CARD) + 1)


def test_model_heard_silence_meanwhile_and_the_caller_before_and_after(seen: Seen) -> None:
    assert seen.turns == ("Hello, this is Ada Lovelace.", ASIDE)
    assert 0 < seen.loud_ms <= seen.spoken_ms


def test_caller_is_silent_in_the_recording_meanwhile(seen: Seen) -> None:
    if seen.recorded is not None:
        said = ("Good morning.", PROMPT, "Thank you. Is there anything else?", "Goodbye, Ada.")
        assert seen.recorded == ("Hello, this is Ada Lovelace.", ASIDE, *said)


def test_secret_outlives_the_stream_in_which_it_was_entered(tmp_path: Path) -> None:
    async def entered_ms() -> int:
        whole = await play("pcm", None, tmp_path / "whole")
        return next(one.at_ms for one in whole.journal if one.kind == "observation_recorded" and '"card"' in one.body)

    back = (Says("Where were we? Is there anything else?"),)
    first, *rest = CALL.exchanges
    scenario = replace(CALL, exchanges=(replace(first, replies=(*first.replies, back)), *rest))
    lost = LineFaults(drop_socket_at_ms=run_virtual(entered_ms()) + 1_000)
    seen = run_virtual(play("pcm", None, tmp_path / "lost", scenario, lost))
    assert [one.kind for one in seen.journal].count("caller_connected") == 2
    test_declared_receivers_get_it(seen)
    test_card_is_nowhere_else(seen)


def test_vault_is_empty_when_all_is_delivered(seen: Seen) -> None:
    assert seen.vault == {}
