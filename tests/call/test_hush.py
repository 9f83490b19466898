"""While a caller enters a secret nobody hears them: silence goes on in their place, and the model waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.call.test_core import MS, Call, kinds, only
from tests.fakes import BreakableStore
from tests.store.store_samples import opened
from voicebot.audio.formats import AudioFormat
from voicebot.call import entries, ports
from voicebot.call.clips import ClipCache
from voicebot.call.core import CallCore
from voicebot.call.events import Journal, KeepSecret
from voicebot.call.hush import HUSH_TAIL_S
from voicebot.call.past import Past, read_past
from voicebot.call.replay import replay
from voicebot.call.secrets import CallSecrets
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import KeysRefused, ObservationRecorded, PhaseEntered
from voicebot.errors import CallTakenError
from voicebot.flow import Flow, HangUp, Keypad, Observations, Phase, PhaseLimits, To, ask, it
from voicebot.store.contract import StoredEntry

PROMPT = "Please enter your card."
FRAME = b"\x12\x34" * 480
SILENCE = bytes(960)


class Order(Observations):
    name: str = ask("the caller's name")
    card: str = ask("the card", secret=True, keypad=Keypad(prompt=PROMPT, again=PROMPT, tries=2))


FLOW = Flow(
    goal="Take an order.",
    observations=Order,
    phases=[
        Phase(
            "order",
            instructions="Who is it?",
            observations=[it.name, it.card],
            transitions=[To("bye")],
            limits=PhaseLimits(turns=9, then="desk"),
        ),
        Phase("desk", instructions="Say that a colleague calls.", end=HangUp()),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
NAME = ports.ToolCall("c1", "record", '{"name": {"value": "Ada", "quote": "I am Ada"}}')


def entering(*, heard: bool = True, rendered: bool = True) -> Call:
    """A call whose caller is asked for the card, and has heard it."""
    call = Call(of=FLOW)
    call.prepare()
    call.connect()
    call.says("Hello, who is it?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    call.speak()
    call.ends(NAME, spoke=False)
    clip = next(one for one in reversed(call.all(ports.RenderClip)) if one.text == PROMPT)
    if rendered:
        call.feed(ports.ClipRendered(clip.key, b"\1" * (800 * MS), PROMPT))
        if heard:
            call.wait(0.9)
            call.echo_all()
    return call


def press(call: Call, keys: str) -> None:
    for key in keys:
        call.wait(0.2)
        call.feed(ports.KeyPressed(key))


def heard_of(call: Call, frame: bytes = FRAME) -> bytes:
    (sent,) = call.core.handle(ports.CallerAudio(frame), call.now)
    assert isinstance(sent, ports.AppendAudio)
    return sent.payload


def lines(call: Call) -> list[StoredEntry]:
    """The call's journal, as a store has it."""
    wall, made = call.core.engine.context.started, [one.entry for one in call.all(Journal)]
    return [
        StoredEntry(number, entries.kind_of(one), 0, wall, entries.write_entry(one))
        for number, one in enumerate(made, 1)
    ]


def test_caller_is_heard_before_and_hushed_from_when_the_secret_is_asked_for() -> None:
    call = Call(of=FLOW)
    call.prepare()
    call.connect()
    assert heard_of(call) == FRAME
    assert heard_of(entering(heard=False)) == SILENCE


def test_silence_is_as_long_as_what_it_stands_for() -> None:
    call = entering()
    assert call.core.hushed
    assert [heard_of(call, FRAME[:length]) for length in (0, 2, 960)] == [b"", bytes(2), bytes(960)]


@pytest.mark.parametrize(("audio_format", "sound"), [(AudioFormat.PCM16_24K, b"\0"), (AudioFormat.PCMU_8K, b"\xff")])
def test_silence_is_that_of_the_leg(audio_format: AudioFormat, sound: bytes) -> None:
    assert audio_format.silence(160) == sound * 160


def test_caller_is_heard_again_a_moment_after_the_last_key() -> None:
    call = entering()
    press(call, "4111#")
    assert heard_of(call) == SILENCE
    call.wait(HUSH_TAIL_S - 0.1)
    assert heard_of(call) == SILENCE
    call.wait(0.2)
    assert not call.core.hushed
    assert heard_of(call) == FRAME


def test_keys_are_masked_and_the_value_goes_to_the_vault_first() -> None:
    call = entering()
    press(call, "4111#")
    assert {one.digit for one in call.entries(entries.KeyPress)} == {"•"}
    kept = call.done.index(KeepSecret("card", '"4111"'))
    recorded = next(
        number
        for number, one in enumerate(call.done)
        if isinstance(one, Journal) and isinstance(one.entry, ObservationRecorded) and one.entry.name == "card"
    )
    assert kept < recorded
    assert "4111" not in repr(call.done)


def test_key_pressed_just_after_the_entry_is_masked_too() -> None:
    call = entering()
    press(call, "4111#")
    call.feed(ports.KeyPressed("7"))
    assert call.entries(entries.KeyPress)[-1].digit == "•"


def test_model_waits_until_the_secret_is_entered() -> None:
    call = entering()
    replies = len(call.all(ports.Reply))
    call.wait(5)
    assert len(call.all(ports.Reply)) == replies
    press(call, "4111#")
    assert len(call.all(ports.Reply)) == replies + 1
    assert "card" in only(call.done, ports.InsertNote)[-1].text


def test_key_stops_the_words_that_ask_for_it() -> None:
    call = entering(heard=False)
    call.wait(0.2)
    assert "ClearPlayback" in kinds(call.feed(ports.KeyPressed("4")))


def test_silence_ladder_rests_while_the_caller_is_at_the_keys() -> None:
    call = entering()
    call.wait(14)
    assert call.entries(KeysRefused) == []
    assert not call.entries(PhaseEntered)[1:]


def test_caller_without_a_card_is_led_out_and_heard_again() -> None:
    call = entering()
    call.wait(16)
    call.wait(0.9)
    call.echo_all()
    call.wait(17)
    assert [one.attempt for one in call.entries(KeysRefused)] == [1, 2]
    assert call.core.engine.state.phase == "desk"
    assert not call.core.hushed


def test_words_that_cannot_be_rendered_are_the_models_to_say() -> None:
    call = entering(rendered=False)
    for _ in range(2):
        clip = next(one for one in reversed(call.all(ports.RenderClip)) if one.text == PROMPT)
        made = call.feed(ports.ClipFailed(clip.key, "no"))
    assert kinds(made)[-1] == "Reply"
    assert PROMPT in only(made, ports.InsertNote)[-1].text
    assert call.core.hushed


def test_typed_words_are_not_heard_either() -> None:
    call = entering()
    assert only(call.feed(ports.CallerWrote("4111")), ports.InsertHeard) == []


def test_call_that_goes_on_elsewhere_is_hushed_from_its_first_moment() -> None:
    call = entering()
    press(call, "41")
    journal = lines(call)
    past = read_past(journal, call.core.engine.context.started)
    assert isinstance(past, Past)
    core = CallCore(
        PhaseEngine(FLOW, call.core.engine.context),
        audio_format=AudioFormat.PCM16_24K,
        clips=ClipCache(),
        model="m",
        past=past,
    )
    core.resume(2, 500.0)
    core.connect("MZ2", 501.0)
    assert core.hushed


def test_call_with_a_secret_replays_as_it_was() -> None:
    call = Call(of=FLOW)
    timed: list[tuple[int, entries.Entry]] = []
    seen = 0

    def note() -> None:
        nonlocal seen
        timed.extend((round((call.now - 100) * 1000), one.entry) for one in call.all(Journal)[seen:])
        seen = len(call.all(Journal))

    call.prepare()
    call.connect()
    call.says("Hello, who is it?")
    call.ends()
    call.wait(1.0)
    call.echo_all()
    call.speak()
    call.ends(NAME, spoke=False)
    clip = next(one for one in reversed(call.all(ports.RenderClip)) if one.text == PROMPT)
    call.feed(ports.ClipRendered(clip.key, b"\1" * (800 * MS), PROMPT))
    note()
    call.wait(0.9)
    call.echo_all()
    note()
    call.wait(15.5)
    note()
    for key in "4111#":
        call.wait(0.2)
        call.feed(ports.KeyPressed(key))
        note()
    assert call.core.engine.state.phase == "bye"
    assert call.entries(KeysRefused)
    assert replay(FLOW, call.core.engine.context, timed) is None


# ---- on their way to the store --------------------------------------------------------------------------------------


def seal(call_sid: str, name: str, text: str) -> bytes:
    return f"{call_sid} {name} {len(text)}".encode()


async def test_secret_that_the_store_does_not_take_is_kept_with_the_next(tmp_path: Path) -> None:
    store = await BreakableStore.open(tmp_path / "calls.db")
    await opened(store, "CA1")
    secrets = CallSecrets("CA1", store, seal, attempt=1)
    store.break_down()
    await secrets.keep("card", '"4111"')
    assert dict(secrets.unkept) == {"card": b"CA1 card 6"}
    store.mend()
    await secrets.keep("pin", '"1"')
    assert secrets.unkept == {}
    assert await store.secrets("CA1") == {"card": b"CA1 card 6", "pin": b"CA1 pin 3"}
    await store.close()


async def test_secret_of_a_call_in_other_hands_is_not_kept(tmp_path: Path) -> None:
    store = await BreakableStore.open(tmp_path / "calls.db")
    await opened(store, "CA1")
    with pytest.raises(CallTakenError):
        await CallSecrets("CA1", store, seal, attempt=7).keep("card", "1")
    await store.close()
