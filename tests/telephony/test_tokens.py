"""Stream tokens: what holds, and every way in which one does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.errors import RefusedRequestError
from voicebot.telephony.tokens import SKEW_S, StreamToken, mint, verify

SECRET = b"a secret of the installation"
CALL = "CA1234567890abcdef1234567890abcdef"
OTHER = "CA" + "0" * 32
NOW = 1_795_348_800


def test_minted_token_verifies() -> None:
    assert verify(SECRET, mint(SECRET, CALL, 2, NOW), CALL, NOW + 1.5) == StreamToken(CALL, 2, NOW)


def test_same_arguments_give_same_token() -> None:
    assert mint(SECRET, CALL, 0, NOW) == mint(SECRET, CALL, 0, NOW)


def test_token_fits_a_url_and_a_parameter() -> None:
    token = mint(SECRET, "C" * 64, 999_999, 10**12 - 1)
    assert len(token) < 300
    assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_each_fact_changes_the_token() -> None:
    tokens = {
        mint(SECRET, CALL, 0, NOW),
        mint(SECRET, CALL, 1, NOW),
        mint(SECRET, CALL, 0, NOW + 1),
        mint(SECRET, OTHER, 0, NOW),
        mint(b"another secret", CALL, 0, NOW),
    }
    assert len({token.rpartition(".")[2] for token in tokens}) == 5


@pytest.mark.parametrize(
    ("age_s", "holds"),
    [(0, True), (59.9, True), (60, True), (60.1, False), (3600, False), (-SKEW_S, True), (-SKEW_S - 0.1, False)],
)
def test_token_holds_within_its_minute(age_s: float, holds: bool) -> None:
    token = mint(SECRET, CALL, 0, NOW)
    if holds:
        assert verify(SECRET, token, CALL, NOW + age_s).issued_at == NOW
    else:
        with pytest.raises(RefusedRequestError, match="older than 60 s" if age_s > 0 else "from the future"):
            verify(SECRET, token, CALL, NOW + age_s)


def test_time_that_is_no_number_refuses() -> None:
    with pytest.raises(RefusedRequestError):
        verify(SECRET, mint(SECRET, CALL, 0, NOW), CALL, float("nan"))


def test_token_of_another_call_is_refused() -> None:
    with pytest.raises(RefusedRequestError, match="another call"):
        verify(SECRET, mint(SECRET, OTHER, 0, NOW), CALL, NOW)


def changed(token: str, position: int, value: str) -> str:
    parts = token.split(".")
    parts[position] = value
    return ".".join(parts)


GOOD = mint(SECRET, CALL, 0, NOW)
FORGED = [
    mint(b"another secret", CALL, 0, NOW),
    changed(mint(SECRET, OTHER, 0, NOW), 0, CALL),
    changed(GOOD, 1, "1"),
    changed(GOOD, 2, str(NOW + 1)),
    changed(GOOD, 2, f"0{NOW}"),
    changed(GOOD, 3, "A" * 43),
    changed(GOOD, 3, GOOD.rpartition(".")[2].swapcase()),
]
MALFORMED = [
    "", " ", ".", "...", GOOD + "=", GOOD + "\n", " " + GOOD, GOOD[:-1], GOOD + "A", GOOD + "." + GOOD,
    changed(GOOD, 1, ""), changed(GOOD, 1, "-1"), changed(GOOD, 1, "00"), changed(GOOD, 1, "\u0661"),
    changed(GOOD, 2, "9" * 5000), changed(GOOD, 2, "1e9"), changed(GOOD, 0, ""), changed(GOOD, 0, "C\u00c4"),
    changed(GOOD, 3, "+" * 43), "A" * 1_000_000, "\ud800", "k3JmX0m2QmW7c1v9",
]  # fmt: skip


@pytest.mark.parametrize("token", FORGED)
def test_forged_token_is_refused(token: str) -> None:
    with pytest.raises(RefusedRequestError, match="forged"):
        verify(SECRET, token, CALL, NOW)


@pytest.mark.parametrize("token", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_token_is_refused(token: str) -> None:
    with pytest.raises(RefusedRequestError, match="malformed"):
        verify(SECRET, token, CALL, NOW)


def test_refusal_never_shows_the_right_token() -> None:
    for token in FORGED:
        with pytest.raises(RefusedRequestError) as refused:
            verify(SECRET, token, CALL, NOW)
        assert GOOD.rpartition(".")[2] not in str(refused.value)


@given(st.text())
def test_any_text_is_refused_not_raised(token: str) -> None:
    with pytest.raises(RefusedRequestError):
        verify(SECRET, token, CALL, NOW)


@pytest.mark.parametrize(
    ("secret", "call_sid", "attempt", "issued_at"),
    [
        (b"", CALL, 0, NOW),
        (SECRET, "", 0, NOW),
        (SECRET, "CA.1", 0, NOW),
        (SECRET, "CA\n", 0, NOW),
        (SECRET, CALL, -1, NOW),
        (SECRET, CALL, 10**6, NOW),
        (SECRET, CALL, 0, -1),
        (SECRET, CALL, 0, 10**12),
    ],
)
def test_minting_refuses_what_could_not_verify(secret: bytes, call_sid: str, attempt: int, issued_at: int) -> None:
    with pytest.raises(ValueError, match=r"secret|call_sid|range"):
        mint(secret, call_sid, attempt, issued_at)
