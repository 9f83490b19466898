from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from tests.sim.utterances import RATES, TEXTS, hear
from voicebot.sim import g711
from voicebot.sim.listener import Heard, Listener
from voicebot.sim.speech import speak, speech_ms
from voicebot.sim.speech_code import SYMBOL_MS, Samples


def silence(ms: float, rate_hz: int = 8_000) -> Samples:
    return np.zeros(round(ms * rate_hz / 1000), dtype=np.int16)


def joined(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def over_mu_law(samples: Samples) -> Samples:
    return g711.decode(g711.encode(samples))


def resampled(samples: Samples, up: int, down: int) -> Samples:
    return np.rint(resample_poly(samples.astype(float), up, down)).clip(-32_768, 32_767).astype(np.int16)


def with_noise(samples: Samples, snr_db: float, rate_hz: int, seed: int) -> Samples:
    """White noise, of that level within the telephone's 4 kHz."""
    power = np.mean(samples.astype(float) ** 2) * 10 ** (-snr_db / 10) * rate_hz / 8_000
    noise = np.random.default_rng(seed).normal(0, np.sqrt(power), len(samples))
    return np.rint(samples + noise).clip(-32_768, 32_767).astype(np.int16)


def passes_as_whole(heard: Iterable[Heard]) -> bool:
    return any(utterance.complete and not utterance.damaged for utterance in heard)


# ---- hearing ------------------------------------------------------------------------------------------------------


def test_other_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="rate_hz"):
        Listener(16_000)


@pytest.mark.parametrize("voice", ["caller", "bot"])
@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_heard_as_spoken(text: str, rate_hz: int, voice: str) -> None:
    [heard] = hear(joined(silence(123, rate_hz), speak(text, rate_hz, voice=voice)), rate_hz)
    assert (heard.text, heard.complete, heard.damaged) == (text, True, 0)
    assert heard.start_ms == pytest.approx(123, abs=1)
    assert heard.end_ms == pytest.approx(123 + speech_ms(text), abs=1)


@pytest.mark.parametrize("text", TEXTS)
def test_mu_law_twice_does_no_harm(text: str) -> None:
    [heard] = hear(over_mu_law(over_mu_law(joined(silence(50.5), speak(text, 8_000), silence(500)))))
    assert (heard.text, heard.complete, heard.damaged) == (text, True, 0)


@pytest.mark.parametrize("text", TEXTS)
def test_rate_conversion_does_no_harm(text: str) -> None:
    wide = joined(silence(77, 24_000), speak(text, 24_000, voice="bot"), silence(77, 24_000))
    narrow = over_mu_law(resampled(wide, 1, 3))
    for samples, rate_hz in ((narrow, 8_000), (resampled(narrow, 3, 1), 24_000)):
        [heard] = hear(samples, rate_hz)
        assert (heard.text, heard.complete, heard.damaged) == (text, True, 0)
        assert heard.start_ms == pytest.approx(77, abs=2)


@pytest.mark.parametrize("gain", [0.4, 0.7, 1.5])
def test_level_of_line_does_not_matter(gain: float) -> None:
    [heard] = hear((speak(TEXTS[2], 8_000) * gain).astype(np.int16))
    assert (heard.text, heard.complete, heard.damaged) == (TEXTS[2], True, 0)


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.split()),
    lead=st.integers(0, 3_000),
    rate_hz=st.sampled_from(RATES),
    sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=8),
)
def test_chunks_and_offsets_do_not_matter(text: str, lead: int, rate_hz: int, sizes: list[int]) -> None:
    audio = joined(np.zeros(lead, dtype=np.int16), speak(text, rate_hz))
    listener, heard, at = Listener(rate_hz), [], 0
    while at < len(audio):
        for size in sizes:
            heard += listener.feed(audio[at : at + size])
            at += size
    [utterance] = heard  # at once, without any audio after it
    assert utterance.text == " ".join(text.split())
    assert utterance.complete
    assert utterance.damaged == 0
    assert abs(utterance.start_ms - lead * 1000 / rate_hz) < 1
    assert listener.flush() == []


def test_current_grows_while_listening() -> None:
    listener, seen = Listener(8_000), []
    assert listener.current is None
    for frame in speak("Grüße", 8_000).reshape(-1, 160):
        listener.feed(frame)
        seen.append(listener.current)
    assert seen[6] == "G"  # the chirp and one byte: 120 ms, and the frame after
    assert [text for text in dict.fromkeys(seen) if text] == ["G", "Gr", "Grü", "Grüß", "Grüße"]
    assert listener.current is None
    assert listener.elapsed_ms == speech_ms("Grüße")


def test_utterances_back_to_back_are_told_apart() -> None:
    texts = ["One.", "Two, and more.", "3", "Vier ß"]
    audio = joined(*(speak(text, 8_000, voice=voice) for text, voice in zip(texts, ("caller", "bot") * 2, strict=True)))
    for chunk in (160, 999, len(audio)):
        heard = hear(audio, chunk=chunk)
        assert [utterance.text for utterance in heard] == texts
        assert all(utterance.complete and utterance.damaged == 0 for utterance in heard)
        assert np.diff([utterance.start_ms for utterance in heard]) == pytest.approx(
            [speech_ms(text) for text in texts[:-1]], abs=1
        )


# ---- cut off ------------------------------------------------------------------------------------------------------

CUT_TEXT = "Grüße, 5 € 你!"


def expected_of_cut(ms: float) -> str:
    """What of CUT_TEXT fits wholly into its first `ms`."""
    return CUT_TEXT.encode()[: max(0, int(ms) // SYMBOL_MS - 1)].decode(errors="ignore")


@pytest.mark.parametrize("lead_ms", [0, 7.125])
@pytest.mark.parametrize("after_ms", [0, 600])
def test_truncation_anywhere_leaves_a_prefix(lead_ms: float, after_ms: float) -> None:
    whole = joined(silence(lead_ms), speak(CUT_TEXT, 8_000))
    for ms in range(20, speech_ms(CUT_TEXT), 20):
        heard = hear(joined(whole[: round((lead_ms + ms) * 8)], silence(after_ms)))
        if ms < SYMBOL_MS:  # of a chirp cut short nothing need be told
            assert all(not utterance.complete and utterance.text == "" for utterance in heard)
            continue
        [cut] = heard
        assert not cut.complete
        assert cut.damaged == 0
        assert cut.text == expected_of_cut(ms)
        assert cut.start_ms == pytest.approx(lead_ms, abs=10)
        assert cut.end_ms == pytest.approx(lead_ms + ms, abs=10)


@pytest.mark.parametrize("gap_ms", [0, 31, 100, 190])
def test_new_utterance_ends_a_cut_one(gap_ms: float) -> None:
    for ms in range(SYMBOL_MS, speech_ms(CUT_TEXT), 20):
        cut, new = hear(joined(speak(CUT_TEXT, 8_000)[: ms * 8], silence(gap_ms), speak("Sorry?", 8_000)))
        assert not cut.complete
        assert cut.text == expected_of_cut(ms)
        assert cut.damaged == 0
        assert cut.end_ms == pytest.approx(ms, abs=10)
        assert (new.text, new.complete, new.damaged) == ("Sorry?", True, 0)
        assert new.start_ms == pytest.approx(ms + gap_ms, abs=1)


def test_cut_chirp_does_not_hide_the_next() -> None:
    for ms in range(0, SYMBOL_MS, 5):
        *_, new = hear(joined(speak(CUT_TEXT, 8_000)[: ms * 8], speak("Sorry?", 8_000)))
        assert (new.text, new.complete, new.damaged) == ("Sorry?", True, 0)


def test_cut_is_told_within_a_third_of_a_second() -> None:
    listener = Listener(8_000)
    assert listener.feed(speak(CUT_TEXT, 8_000)[: 400 * 8]) == []
    heard = [utterance for _ in range(17) for utterance in listener.feed(silence(20))]
    assert [utterance.text for utterance in heard] == [expected_of_cut(400)]


def test_flush_ends_and_is_harmless_twice() -> None:
    listener = Listener(8_000)
    assert listener.flush() == []
    listener.feed(speak(CUT_TEXT, 8_000)[: 400 * 8])
    [cut] = listener.flush()
    assert not cut.complete
    assert listener.flush() == []
    assert listener.elapsed_ms == 400
    assert listener.current is None
    [after] = listener.feed(speak("Hello", 8_000))
    assert (after.text, after.complete) == ("Hello", True)
    assert after.start_ms == pytest.approx(400, abs=1)


# ---- damaged ------------------------------------------------------------------------------------------------------

DAMAGED_TEXT = "The quick brown fox, 42 times."


@pytest.mark.parametrize(("frames", "offset"), [(1, 0), (1, 53), (2, 111), (3, 0), (4, 53)])
@pytest.mark.parametrize("text", [DAMAGED_TEXT, "aaaaaaaaaa"])
def test_lost_frames_never_go_unnoticed(text: str, frames: int, offset: int) -> None:
    whole = speak(text, 8_000)
    for at in range(offset, len(whole) - 160 * frames + 1, 160):
        heard = hear(joined(whole[:at], whole[at + 160 * frames :], silence(300)))
        assert not passes_as_whole(heard)


@pytest.mark.parametrize("lost", [120, 160])
def test_loss_made_up_later_is_noticed(lost: int) -> None:
    whole = speak("aaaaaaaaaa", 8_000)
    for at in range(480, len(whole) - 1_920, 160):
        mended = joined(whole[:at], whole[at + lost : at + 1_440 + lost], whole[at + 1_440 :])
        assert not passes_as_whole(hear(mended))


def test_lost_frame_costs_two_letters_at_most() -> None:
    whole = speak(DAMAGED_TEXT, 8_000)
    for at in range(480, len(whole) - 480, 160):
        [heard] = hear(joined(whole[:at], whole[at + 160 :], silence(300)))
        lost = heard.text.count("�")
        assert heard.complete
        assert 1 <= heard.damaged <= 2
        assert lost <= 2
        assert len(heard.text) == len(DAMAGED_TEXT)
        assert sum(a == b for a, b in zip(heard.text, DAMAGED_TEXT, strict=True)) >= len(DAMAGED_TEXT) - 2


def test_repeated_frame_never_goes_unnoticed() -> None:
    whole = speak(DAMAGED_TEXT, 8_000)
    for at in range(160, len(whole) - 160, 160):
        assert not passes_as_whole(hear(joined(whole[: at + 160], whole[at:])))


def test_repeated_symbol_is_counted_not_doubled() -> None:
    whole = speak(DAMAGED_TEXT, 8_000)
    [heard] = hear(joined(whole[: 10 * 480], whole[9 * 480 :]))
    assert (heard.text, heard.complete, heard.damaged) == (DAMAGED_TEXT, True, 1)


def test_gap_in_speech_is_survived_and_counted() -> None:
    whole = speak(DAMAGED_TEXT, 8_000)
    for at in range(480, len(whole) - 960, 160):
        [heard] = hear(joined(whole[:at], silence(97), whole[at:]))
        assert heard.complete
        assert heard.damaged >= 1
        assert sum(a == b for a, b in zip(heard.text, DAMAGED_TEXT, strict=True)) >= len(DAMAGED_TEXT) - 1


@pytest.mark.parametrize("noise_rms", [0, 60])
def test_clipped_onset_is_heard_as_damaged(noise_rms: int) -> None:
    lead = np.random.default_rng(1).normal(0, noise_rms, 8_000).astype(np.int16)
    [heard] = hear(joined(lead, lead, speak(DAMAGED_TEXT, 8_000)[160:]))
    assert (heard.text, heard.complete, heard.damaged) == (DAMAGED_TEXT, True, 1)


def test_wrong_letter_of_right_form_is_noticed() -> None:
    whole, other = speak("Total is 25", 8_000), speak("Total is 35", 8_000)
    at = (1 + "Total is 25".index("2")) * 480
    [heard] = hear(joined(whole[:at], other[at : at + 480], whole[at + 480 :]))
    assert (heard.text, heard.complete, heard.damaged) == ("Total is 35", True, 1)


# ---- noise --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("seed", range(6))
def test_noise_at_20_db_does_no_harm(seed: int, rate_hz: int) -> None:
    text = TEXTS[seed]
    [heard] = hear(with_noise(speak(text, rate_hz), 20, rate_hz, seed), rate_hz)
    assert (heard.text, heard.complete, heard.damaged) == (text, True, 0)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("rms", [30, 1_000, 9_000])
def test_noise_alone_says_nothing(rms: int, rate_hz: int) -> None:
    noise = np.random.default_rng(rms).normal(0, rms, 20 * rate_hz).clip(-32_768, 32_767).astype(np.int16)
    assert hear(noise, rate_hz) == []


def test_silence_and_tones_say_nothing() -> None:
    seconds = np.arange(5 * 8_000) / 8_000
    assert hear(silence(5_000)) == []
    for tones_hz in ((440,), (697, 1_209), (941, 1_633), (2_000, 2_500, 3_000)):
        tones = sum(4_000 * np.sin(2 * np.pi * hz * seconds) for hz in tones_hz)
        assert hear(np.asarray(tones).astype(np.int16)) == []


@settings(max_examples=40, deadline=None)
@given(missed=st.integers(400, 8 * (speech_ms(DAMAGED_TEXT) - 1)))
def test_joining_in_mid_speech_says_nothing(missed: int) -> None:
    assert hear(speak(DAMAGED_TEXT, 8_000)[missed:]) == []
