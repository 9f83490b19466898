"""The table's line: playout, marks and clears as the twin's phone line does them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voicebot.call.ports import CallerEvent, ClearPlayback, CloseLeg, LegCommand, MarkPlayed, PlayAudio, SendMark
from voicebot.sim.table_chance import Chance, TableFaults
from voicebot.sim.table_clock import Schedule
from voicebot.sim.table_line import TableLine
from voicebot.sim.table_speech import spoken

HELLO = spoken("Hello")  # 420 ms


class Set:
    """A line on a clock of the test's own; `echoes` are (ms, mark)."""

    def __init__(self, faults: TableFaults | None = None) -> None:
        self.schedule = Schedule()
        self.echoes: list[tuple[int, str]] = []
        self.line = TableLine(self.schedule, self._take, Chance(0), faults or TableFaults())

    def _take(self, event: CallerEvent) -> None:
        assert isinstance(event, MarkPlayed)
        self.echoes.append((round(self.schedule.now * 1000), event.name))

    def at(self, at_ms: float, *commands: LegCommand) -> None:
        """These arrive then."""
        for command in commands:
            self.schedule.at(at_ms / 1000, self._obeying(command))

    def _obeying(self, command: LegCommand) -> Callable[[], None]:
        return lambda: self.line.obey(command)

    def run(self) -> None:
        while self.schedule.next_at < 1e9:
            self.schedule.run_next()


def test_mark_is_echoed_when_its_audio_was_played() -> None:
    table = Set()
    table.at(5, SendMark("begin"), PlayAudio(HELLO), PlayAudio(b"", end=True), SendMark("end"))
    table.run()
    assert table.echoes == [(5, "begin"), (440, "end")]


def test_mark_waits_for_the_end_of_its_frame() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO[: 50 * 8]), SendMark("middle"))
    table.run()
    assert table.echoes == [(60, "middle")]


def test_clear_lets_the_frame_in_the_ear_end() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO), SendMark("end"))
    table.at(190, ClearPlayback())
    table.run()
    [utterance] = table.line.utterances
    assert (utterance.played_ms, utterance.cut, utterance.heard().text) == (200, True, "He")
    assert table.echoes == [(190, "end")]
    assert table.line.clears == [190]


def test_clear_drops_what_has_not_begun() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO), PlayAudio(spoken("again")), SendMark("end"))
    table.at(100, ClearPlayback(), PlayAudio(spoken("new")))
    table.run()
    assert [one.played_ms for one in table.line.utterances] == [100, 0, 300]
    assert [one.heard().text for one in table.line.utterances] == ["", "", "new"]
    assert table.line.utterances[2].start_ms == 100


def test_clear_between_utterances_cuts_nothing() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO), SendMark("end"))
    table.at(1000, ClearPlayback())
    table.run()
    assert not table.line.utterances[0].cut
    assert table.echoes == [(420, "end")]


@pytest.mark.parametrize(
    ("faults", "echoes"), [(TableFaults(clear_echoes_marks=False), []), (TableFaults(mark_loss=1.0), [])]
)
def test_faults_keep_marks_back(faults: TableFaults, echoes: list[object]) -> None:
    table = Set(faults)
    table.at(0, PlayAudio(HELLO), SendMark("end"))
    table.at(100, ClearPlayback())
    table.run()
    assert table.echoes == echoes


def test_closed_line_is_deaf_and_silent() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO), SendMark("end"))
    table.at(120, CloseLeg())
    table.at(130, PlayAudio(HELLO), SendMark("late"))
    table.run()
    assert table.echoes == []
    assert [one.played_ms for one in table.line.utterances] == [120]
    assert [one.text for one in table.line.rest()] == ["H"]


def test_sound_is_told_frame_by_frame() -> None:
    table = Set()
    table.at(30, PlayAudio(HELLO[:800]))  # 100 ms, from the next border on
    table.run()
    assert [at for at in range(20, 240, 20) if table.line.sounds_in(at)] == [60, 80, 100, 120, 140]


def test_words_are_understood_a_little_later() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO))
    table.run()
    assert table.line.next_words_ms() == 520
    assert table.line.take_words(500) == []
    [heard] = table.line.take_words(520)
    assert (heard.text, heard.start_ms, heard.end_ms, heard.complete) == ("Hello", 0, 420, True)
    assert table.line.take_words(9999) == table.line.rest() == []


def test_cut_words_are_told_after_a_breath() -> None:
    table = Set()
    table.at(0, PlayAudio(HELLO))
    table.at(180, ClearPlayback())
    table.run()
    assert table.line.next_words_ms() == 480


def test_utterances_are_told_apart_by_their_bytes_alone() -> None:
    table = Set()
    audio = HELLO + spoken("you") + HELLO
    for start in range(0, len(audio), 1000):
        table.at(0, PlayAudio(audio[start : start + 1000]))
    table.run()
    assert [one.heard().text for one in table.line.utterances] == ["Hello", "you", "Hello"]
    assert [one.sent_ms for one in table.line.utterances] == [420, 300, 420]
    assert [one.start_ms for one in table.line.utterances] == [0, 420, 720]
