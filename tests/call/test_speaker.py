"""What the bot says: audio out with marks, words kept, and each utterance ended as heard or cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio.formats import AudioFormat
from voicebot.call.entries import BotSaid
from voicebot.call.playback import LOST_MARK_GRACE_S, Playback
from voicebot.call.ports import LegCommand, PlayAudio, SendMark
from voicebot.call.speaker import CLIP_CHUNK_MS, Ended, Speaker, heard_words
from voicebot.flow import Say

NOW = 10.0
FORMATS = [AudioFormat.PCM16_24K, AudioFormat.PCMU_8K]


def speaker(audio_format: AudioFormat = AudioFormat.PCMU_8K) -> Speaker:
    return Speaker(audio_format, Playback())


def ms(duration_ms: int, audio_format: AudioFormat = AudioFormat.PCMU_8K) -> bytes:
    return b"\x7f" * (duration_ms * audio_format.bytes_per_ms)


def marks(commands: list[LegCommand]) -> list[str]:
    return [command.name for command in commands if isinstance(command, SendMark)]


def shape(commands: list[LegCommand]) -> list[str]:
    """What goes out, as a word each: `mark`, `end`, or the bytes of audio."""
    made = []
    for command in commands:
        match command:
            case SendMark():
                made.append("mark")
            case PlayAudio(end=True):
                made.append("end")
            case PlayAudio(payload=payload):
                made.append(str(len(payload)))
            case _:
                raise AssertionError(command)
    return made


def echo_all(one: Speaker, commands: list[LegCommand], now: float) -> list[Ended]:
    return [ended for mark in marks(commands) if (ended := one.echoed(mark, now)) is not None]


def test_utterance_is_bracketed_by_marks() -> None:
    one = speaker()
    out = one.add_audio("item-1", ms(100), NOW) + one.add_audio("item-1", ms(120), NOW) + one.end("item-1")
    assert shape(out) == ["mark", "800", "960", "mark", "end", "mark"]


@pytest.mark.parametrize("audio_format", FORMATS)
def test_time_is_counted_in_the_leg_s_format(audio_format: AudioFormat) -> None:
    one = speaker(audio_format)
    one.add_audio("item-1", ms(1000, audio_format), NOW)
    (ended,) = one.cut(NOW)
    assert ended.entry.sent_ms == 1000


def test_heard_utterance_has_all_its_words() -> None:
    one = speaker()
    out = one.add_audio("item-1", ms(500), NOW)
    one.add_words("item-1", "Good ", final=False)
    one.add_words("item-1", "evening.", final=False)
    out += one.end("item-1")
    (ended,) = echo_all(one, out, NOW + 0.5)
    assert ended == Ended(
        BotSaid("item-1", "Good evening.", "Good evening.", 500, 500, interrupted=False, exact=False),
        say=None,
        complete=True,
        tell_model=False,
        truncatable=True,
    )


def test_final_words_replace_the_pieces() -> None:
    one = speaker()
    one.add_words("item-1", "Good eve", final=False)
    one.add_words("item-1", "Good evening.", final=True)
    one.add_audio("item-1", ms(100), NOW)
    (ended,) = one.cut(NOW)
    assert ended.entry.text == "Good evening."


def test_cut_utterance_has_the_words_that_were_heard() -> None:
    one = speaker()
    out = one.add_audio("item-1", ms(1000), NOW)
    one.add_words("item-1", "Good evening, this is Roma.", final=True)
    one.echoed(marks(out)[0], NOW)
    (ended,) = one.cut(NOW + 0.5)
    assert ended.entry == BotSaid(
        "item-1", "Good evening, this is Roma.", "Good evening,", 500, 1000, interrupted=True, exact=False
    )
    assert not ended.complete


def test_utterance_never_echoed_was_not_heard() -> None:
    one = speaker()
    one.add_audio("item-1", ms(1000), NOW)
    one.add_words("item-1", "Good evening.", final=True)
    (ended,) = one.cut(NOW + 5)
    assert (ended.entry.heard_text, ended.entry.heard_ms) == ("", 0)


def test_words_without_audio_are_no_utterance() -> None:
    one = speaker()
    one.add_words("item-1", "Good evening.", final=True)
    assert one.end("item-1") == []
    assert one.cut(NOW) == []


def test_end_of_what_never_began_is_nothing() -> None:
    assert speaker().end("item-1") == []


def test_lost_mark_ends_the_utterance_in_the_end() -> None:
    one = speaker()
    one.add_audio("item-1", ms(1000), NOW)
    one.end("item-1")
    assert one.expire(NOW + 1 + LOST_MARK_GRACE_S - 0.01) == []
    (ended,) = one.expire(NOW + 1 + LOST_MARK_GRACE_S)
    assert (ended.entry.interrupted, ended.complete) == (False, False)


def test_cut_ends_everything_in_order() -> None:
    one = speaker()
    one.add_audio("item-1", ms(100), NOW)
    one.end("item-1")
    one.add_audio("item-2", ms(100), NOW)
    assert [ended.entry.item_id for ended in one.cut(NOW)] == ["item-1", "item-2"]
    assert one.cut(NOW) == []


# ---- exact statements ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio_format", FORMATS)
def test_statement_goes_out_in_small_pieces(audio_format: AudioFormat) -> None:
    one = speaker(audio_format)
    out = one.play_statement(Say("Good evening."), ms(900, audio_format), NOW)
    step = CLIP_CHUNK_MS * audio_format.bytes_per_ms
    assert shape(out) == ["mark", str(step), "mark", str(step), "mark", str(step // 4), "end", "mark"]
    assert b"".join(command.payload for command in out if isinstance(command, PlayAudio)) == ms(900, audio_format)


def test_heard_statement_is_told_to_the_model() -> None:
    one = speaker()
    say = Say("Good evening.")
    out = one.play_statement(say, ms(900), NOW)
    (ended,) = echo_all(one, out, NOW + 0.9)
    assert (ended.say, ended.complete, ended.tell_model) == (say, True, True)
    assert ended.entry == BotSaid("statement-1", say.text, say.text, 900, 900, interrupted=False, exact=True)


def test_statement_is_told_to_the_model_once() -> None:
    one = speaker()
    out = one.play_statement(Say("Good evening."), ms(900), NOW)
    one.add_audio("item-1", ms(100), NOW)
    assert list(one.untold()) == ["Good evening."]
    assert list(one.untold()) == []
    (ended,) = echo_all(one, out, NOW + 0.9)
    assert not ended.tell_model


def test_same_statement_twice_is_two_utterances() -> None:
    one = speaker()
    say = Say("Are you still there?")
    first, second = one.play_statement(say, ms(100), NOW), one.play_statement(say, ms(100), NOW)
    over = echo_all(one, first + second, NOW + 0.2)
    assert [ended.entry.item_id for ended in over] == ["statement-1", "statement-2"]


def test_disclosure_may_not_be_interrupted_while_it_plays() -> None:
    one = speaker()
    one.play_statement(Say("Good evening."), ms(100), NOW)
    assert not one.uninterruptible
    out = one.play_statement(Say("This call is recorded.", interruptible=False), ms(100), NOW)
    assert one.uninterruptible
    echo_all(one, out, NOW + 0.2)
    assert not one.uninterruptible


# ---- the estimate of what was heard -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "heard_ms", "sent_ms", "words"),
    [
        ("one two three", 0, 1000, ""),
        ("one two three", -5, 1000, ""),
        ("one two three", 500, 0, ""),
        ("one two three", 1000, 1000, "one two three"),
        ("one two three", 2000, 1000, "one two three"),
        ("one two three", 100, 1000, ""),
        ("one two three", 240, 1000, "one"),
        ("one two three", 300, 1000, "one"),
        ("one two three", 500, 1000, "one"),
        ("one two three", 540, 1000, "one two"),
        ("one two three", 990, 1000, "one two three"),
        ("one\ntwo\nthree", 800, 1000, "one\ntwo"),
        ("", 500, 1000, ""),
        ("word", 500, 1000, ""),
    ],
)
def test_heard_words_are_whole_words(text: str, heard_ms: float, sent_ms: float, words: str) -> None:
    assert heard_words(text, heard_ms, sent_ms) == words


@given(st.text(), st.floats(0, 2000), st.floats(0, 2000), st.floats(1, 1000))
def test_heard_words_begin_the_text_and_grow(text: str, one_ms: float, other_ms: float, sent_ms: float) -> None:
    less, more = (heard_words(text, heard_ms, sent_ms) for heard_ms in sorted((one_ms, other_ms)))
    assert text.startswith(more)
    assert more.startswith(less)
