"""G.711 mu-law against the vectors of ITU-T G.711 and a scalar reading of its text."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.audio import g711

ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)

DECODED = [
    (0x00, -32124), (0x0F, -16764), (0x10, -15996), (0x40, -1884), (0x70, -120), (0x7E, -8), (0x7F, 0),
    (0x80, 32124), (0x8F, 16764), (0x90, 15996), (0xC0, 1884), (0xF0, 120), (0xFE, 8), (0xFF, 0),
]  # fmt: skip
ENCODED = [
    (0, 0xFF), (3, 0xFF), (4, 0xFE), (-1, 0x7F), (100, 0xF2), (-100, 0x72), (1000, 0xCE), (-1000, 0x4E),
    (10000, 0x9C), (-10000, 0x1C), (32635, 0x80), (32767, 0x80), (-32767, 0x00), (-32768, 0x00),
]  # fmt: skip


def encode_one(sample: int) -> int:
    """The classic encoder, one sample at a time."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


@pytest.mark.parametrize(("code", "sample"), DECODED)
def test_code_decodes_to_its_sample(code: int, sample: int) -> None:
    assert g711.decode(bytes([code])).tolist() == [sample]


@pytest.mark.parametrize(("sample", "code"), ENCODED)
def test_sample_encodes_to_its_code(sample: int, code: int) -> None:
    assert g711.encode(np.array([sample], np.int16)) == bytes([code])


def test_all_codes_decode_as_the_standard_says() -> None:
    digest = hashlib.sha256(g711.decode(ALL_CODES).astype("<i2").tobytes()).hexdigest()
    assert digest == "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"


def test_all_samples_encode_as_the_standard_says() -> None:
    digest = hashlib.sha256(g711.encode(ALL_SAMPLES)).hexdigest()
    assert digest == "5ee7cf5f273f842d2234121e4cb0c98d6b20a99ac29026f94e05b36955b195be"


def test_every_code_but_minus_zero_survives_the_round_trip() -> None:
    assert g711.encode(g711.decode(ALL_CODES)) == ALL_CODES.replace(b"\x7f", b"\xff")


def test_silence_is_plus_zero() -> None:
    assert g711.decode(g711.SILENCE * 3).tolist() == [0, 0, 0]
    assert g711.encode(np.zeros(3, np.int16)) == g711.SILENCE * 3


def test_nothing_converts_to_nothing() -> None:
    assert g711.decode(b"").shape == (0,)
    assert g711.encode(np.zeros(0, np.int16)) == b""


def test_decoded_samples_are_a_fresh_int16_array() -> None:
    samples = g711.decode(b"\x80")
    samples[0] = 7
    assert samples.dtype == np.int16
    assert g711.decode(b"\x80").tolist() == [32124]


@given(st.lists(st.integers(-32768, 32767), max_size=400))
def test_encoder_agrees_with_the_scalar_one(samples: list[int]) -> None:
    assert list(g711.encode(np.array(samples, np.int16))) == [encode_one(sample) for sample in samples]


@given(st.integers(-32635, 32635))
def test_round_trip_errs_by_half_a_step_at_most(sample: int) -> None:
    [heard] = g711.decode(g711.encode(np.array([sample], np.int16))).tolist()
    step = 8 << ((abs(sample) + 132).bit_length() - 8)
    assert abs(heard - sample) <= step / 2


@given(st.binary(max_size=400))
def test_bytes_stay_as_many_as_samples(payload: bytes) -> None:
    assert len(g711.encode(g711.decode(payload))) == len(g711.decode(payload)) == len(payload)
