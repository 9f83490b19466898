from __future__ import annotations

import numpy as np
import pytest

from voicebot.sim import g711


@pytest.mark.parametrize(
    ("code", "sample"),
    [
        (0xFF, 0),
        (0x7F, 0),
        (0xFE, 8),
        (0x7E, -8),
        (0xF0, 120),
        (0xEF, 132),
        (0xE0, 372),
        (0xDF, 396),
        (0x90, 15_996),
        (0x8F, 16_764),
        (0x80, 32_124),
        (0x00, -32_124),
    ],
)
def test_code_expands_to_itu_value(code: int, sample: int) -> None:
    assert g711.decode(bytes([code])).tolist() == [sample]


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        (0, 0xFF),
        (3, 0xFF),
        (4, 0xFE),  # decision value 1 of the 14-bit numbers
        (123, 0xF0),
        (124, 0xEF),  # 31: the first segment ends
        (-124, 0x6F),
        (32_635, 0x80),
        (32_767, 0x80),
        (-32_768, 0x00),
    ],
)
def test_sample_compresses_at_itu_decision_values(sample: int, code: int) -> None:
    assert g711.encode(np.array([sample], dtype=np.int16)) == bytes([code])


def test_every_code_survives_round_trip() -> None:
    codes = bytes(set(range(256)) - {0x7F})  # minus zero is sent as plus zero
    assert g711.encode(g711.decode(codes)) == codes


def test_error_stays_within_half_step() -> None:
    samples = np.arange(-32_124, 32_125, dtype=np.int16)
    error = np.abs(g711.decode(g711.encode(samples)).astype(int) - samples)
    assert (error <= (np.abs(samples.astype(int)) + 132) / 32).all()


def test_encodes_strided_and_empty_arrays() -> None:
    samples = np.array([0, 999, 32_767, 999], dtype=np.int16)
    assert g711.encode(samples[::2]) == bytes([0xFF, 0x80])
    assert g711.encode(samples[:0]) == b""
    assert g711.decode(b"").dtype == np.int16
