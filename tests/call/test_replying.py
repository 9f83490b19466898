"""What is owed and what is under way: one reply at a time."""

from __future__ import annotations

from voicebot.call.replying import RETRY_DELAYS_S, Replying


def test_what_is_owed_twice_is_asked_for_once() -> None:
    replying = Replying()
    replying.note("The shop closes at six.")
    replying.owe("Greet them.")
    replying.owe()
    replying.owe("Then ask.")
    assert replying.ask() == ("reply-1", ["The shop closes at six.", "Greet them.", "Then ask."])
    assert not replying.owed
    replying.owe()
    assert replying.ask() == ("reply-2", [])


def test_note_waits_for_the_next_reply() -> None:
    replying = Replying()
    replying.note("The shop closes at six.")
    replying.owe("Greet them.")
    replying.owe_nothing()
    assert not replying.owed
    replying.owe()
    assert replying.ask() == ("reply-1", ["The shop closes at six."])


def test_only_the_reply_under_way_is_for_the_caller() -> None:
    replying = Replying()
    assert not replying.is_current("reply-1")
    replying.owe()
    replying.ask()
    assert (replying.is_current("reply-1"), replying.is_current("reply-2")) == (True, False)
    assert replying.end("reply-2") is None
    ended = replying.end("reply-1")
    assert ended is not None
    assert not replying.is_current("reply-1")


def test_cancelled_reply_is_heard_no_more() -> None:
    replying = Replying()
    assert not replying.cancel()
    replying.owe()
    replying.ask()
    assert (replying.to_be_heard, replying.speaks) == (True, False)
    assert replying.current is not None
    replying.current.audible = True
    assert (replying.to_be_heard, replying.speaks) == (False, True)
    assert [replying.cancel(), replying.cancel()] == [True, False]
    assert (replying.to_be_heard, replying.speaks, replying.is_current("reply-1")) == (False, False, False)


def test_failures_are_tried_again_later_and_later() -> None:
    replying = Replying()
    due = []
    for _ in RETRY_DELAYS_S:
        assert replying.failed(10.0)
        due.append(replying.retry_at)
    assert due == [10.0 + delay_s for delay_s in RETRY_DELAYS_S]
    assert not replying.failed(10.0)
    replying.succeeded()
    assert replying.failed(20.0)


def test_who_gives_up_owes_nothing_and_tries_nothing() -> None:
    replying = Replying()
    replying.owe()
    replying.failed(10.0)
    replying.give_up()
    assert (replying.owed, replying.retry_at) == (False, None)
