"""What we ask of Twilio's REST API, against the twin's over HTTP on the virtual clock."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import aiohttp
import pytest

from voicebot.errors import TwilioError
from voicebot.sim.account import ACCOUNT_SID, AUTH_TOKEN
from voicebot.sim.call_book import CallBook, CallStatus
from voicebot.sim.clock import run_virtual
from voicebot.sim.twilio_forms import Placed
from voicebot.sim.twilio_rest import RestAnswer
from voicebot.sim.twilio_rest import TwilioRest as Vendor
from voicebot.telephony.rest import LIMIT_S, NewCall, NumberUrls, TwilioRest

CALL_SID = "CA" + "7" * 32
OURS, ADA = "+15550100000", "+15550123456"
PLACED = "CA" + "8" * 32
AFTER = "https://voice.example.com/twilio/after"


@dataclass
class Line:
    """A call on the line, which notes what is done to it."""

    call_sid: str = CALL_SID
    status: CallStatus = "in-progress"
    parties: tuple[str, str] = ("+15550123456", "+15550100000")
    done: list[tuple[str, ...]] = field(default_factory=list)

    def go_to(self, url: str, method: str = "POST") -> None:
        self.done.append(("go to", url, method))

    def play(self, twiml: str) -> None:
        raise AssertionError("not asked for")

    def hang_up(self) -> None:
        self.done.append(("hang up",))


@dataclass
class Account:
    """Twilio's side, and a client of ours for it."""

    vendor: Vendor
    line: Line
    rest: TwilioRest
    placed: list[Placed]


def on_account(
    *, auth_token: str = AUTH_TOKEN, ended_code: int = 20404
) -> Callable[[Callable[..., Coroutine[object, object, None]]], Callable[..., None]]:
    """Run an async test with an `Account` as its first argument, on the virtual clock."""

    def decorate(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
        async def play(**arguments: object) -> None:
            book, line, placed = CallBook(), Line(), list[Placed]()
            book.enter(line)

            def place(one: Placed) -> str:
                placed.append(one)
                return PLACED

            about: dict[str, Any] = {"port": 8090, "ended_code": ended_code, "numbers": [OURS], "place": place}
            async with Vendor(ACCOUNT_SID, AUTH_TOKEN, book, **about) as vendor:
                async with aiohttp.ClientSession() as http:
                    rest = TwilioRest(http, vendor.url, ACCOUNT_SID, auth_token)
                    await test(Account(vendor, line, rest, placed), **arguments)
                assert vendor.violations == []

        @functools.wraps(test)
        def run(**arguments: object) -> None:
            run_virtual(play(**arguments), limit_s=600)

        own = list(inspect.signature(test).parameters.values())[1:]
        run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        return run

    return decorate


@on_account()
async def test_call_is_redirected_by_post(account: Account) -> None:
    assert await account.rest.redirect(CALL_SID, AFTER) == "done"
    assert account.line.done == [("go to", AFTER, "POST")]
    (request,) = account.vendor.requests
    assert (request.method, request.status) == ("POST", 200)
    assert request.form == {"Url": AFTER, "Method": "POST"}
    assert request.path == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Calls/{CALL_SID}.json"


@on_account()
async def test_call_is_hung_up(account: Account) -> None:
    assert await account.rest.hang_up(CALL_SID) == "done"
    assert account.line.done == [("hang up",)]


@pytest.mark.parametrize(
    "trouble", [RestAnswer(429), RestAnswer(429, retry_after="2"), RestAnswer(503), RestAnswer(reset=True)]
)
@on_account()
async def test_call_is_hung_up_in_spite_of_trouble(account: Account, trouble: RestAnswer) -> None:
    account.vendor.answer_with(trouble)
    assert await account.rest.hang_up(CALL_SID) == "done"
    assert account.line.done == [("hang up",)]


@pytest.mark.parametrize("ended_code", [20404, 21220])
@on_account()
async def test_call_that_has_ended_is_not_hung_up(account: Account, ended_code: Literal[20404, 21220]) -> None:
    account.vendor.ended_code, account.line.status = ended_code, "completed"
    account.vendor.answer_with(RestAnswer(429))
    assert await account.rest.hang_up(CALL_SID) == "over"
    assert account.line.done == []


@on_account()
async def test_origin_may_end_in_a_slash(account: Account) -> None:
    async with aiohttp.ClientSession() as http:
        rest = TwilioRest(http, account.vendor.url + "/", ACCOUNT_SID, AUTH_TOKEN)
        assert await rest.redirect(CALL_SID, AFTER) == "done"


@pytest.mark.parametrize("how", ["ended", "unknown"])
@on_account()
async def test_call_that_is_not_found_is_over(account: Account, how: str) -> None:
    account.line.status = "completed"
    assert await account.rest.redirect(CALL_SID if how == "ended" else "CA" + "8" * 32, AFTER) == "over"
    assert account.line.done == []


@on_account(ended_code=21220)
async def test_call_that_is_not_in_progress_is_over(account: Account) -> None:
    account.line.status = "completed"
    assert await account.rest.redirect(CALL_SID, AFTER) == "over"


@on_account(auth_token="sk-canary")
async def test_wrong_token_is_not_tried_again(account: Account) -> None:
    with pytest.raises(TwilioError) as raised:
        await account.rest.redirect(CALL_SID, AFTER)
    assert (raised.value.status, raised.value.code, raised.value.retryable) == (401, 20003, False)
    assert "canary" not in f"{raised.value!r} {raised.value} {account.rest!r}"
    assert account.line.done == []


@pytest.mark.parametrize("status", [429, 500, 503])
@on_account()
async def test_trouble_of_the_vendor_may_be_tried_again(account: Account, status: int) -> None:
    account.vendor.answer_with(RestAnswer(status))  # type: ignore[arg-type]
    with pytest.raises(TwilioError) as raised:
        await account.rest.redirect(CALL_SID, AFTER)
    assert (raised.value.status, raised.value.retryable) == (status, True)
    assert str(status) in str(raised.value)
    assert await account.rest.redirect(CALL_SID, AFTER) == "done"


@pytest.mark.parametrize("answer", [RestAnswer(hang=True), RestAnswer(reset=True)])
@on_account()
async def test_no_answer_may_be_tried_again(account: Account, answer: RestAnswer) -> None:
    account.vendor.answer_with(answer)
    before = asyncio.get_running_loop().time()
    with pytest.raises(TwilioError) as raised:
        await account.rest.redirect(CALL_SID, AFTER)
    assert (raised.value.status, raised.value.code, raised.value.retryable) == (None, None, True)
    assert asyncio.get_running_loop().time() - before == pytest.approx(LIMIT_S if answer.hang else 0.0, abs=0.01)


@on_account()
async def test_slow_answer_is_an_answer(account: Account) -> None:
    account.vendor.answer_with(RestAnswer(delay_s=LIMIT_S - 0.5))
    assert await account.rest.redirect(CALL_SID, AFTER) == "done"


@on_account()
async def test_vendor_that_is_not_there_may_be_tried_again(account: Account) -> None:
    async with aiohttp.ClientSession() as http:
        rest = TwilioRest(http, "http://127.0.0.1:9", ACCOUNT_SID, AUTH_TOKEN)
        with pytest.raises(TwilioError) as raised:
            await rest.redirect(CALL_SID, AFTER)
        assert raised.value.retryable


# ---- what is begun, and where numbers lead --------------------------------------------------------------------------

CALL = NewCall(ADA, OURS, f"{AFTER}?1", f"{AFTER}?2", f"{AFTER}?3", ring_s=25)


@on_account()
async def test_call_is_placed_and_never_recorded(account: Account) -> None:
    assert await account.rest.place(CALL) == PLACED
    [(to, from_, placed)] = [(one.to, one.from_, one) for one in account.placed]
    assert (to, from_) == (ADA, OURS)
    assert (placed.answered_url, placed.progress_url, placed.detection_url) == (
        f"{AFTER}?1",
        f"{AFTER}?2",
        f"{AFTER}?3",
    )
    assert (placed.ring_s, placed.detection, len(placed.events)) == (25, "DetectMessageEnd", 4)
    assert not any(name.startswith("Record") for name in account.vendor.requests[0].form)


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ([RestAnswer(429)], [429, 201]),
        ([RestAnswer(500), RestAnswer(503), RestAnswer(429)], [500, 503, 429, 201]),
    ],
)
@on_account()
async def test_call_is_asked_for_again_after_a_refusal(
    account: Account, answers: list[RestAnswer], statuses: list[int]
) -> None:
    account.vendor.answer_with(*answers)
    assert await account.rest.place(CALL) == PLACED
    assert [one.status for one in account.vendor.requests] == statuses
    assert len(account.placed) == 1


@on_account()
async def test_call_is_given_up_in_bounded_time(account: Account) -> None:
    account.vendor.available = False
    began = asyncio.get_running_loop().time()
    with pytest.raises(TwilioError) as raised:
        await account.rest.place(CALL)
    assert (raised.value.status, raised.value.undone) == (503, True)
    assert asyncio.get_running_loop().time() - began < 10
    assert len(account.vendor.requests) == 4


@pytest.mark.parametrize("answer", [RestAnswer(hang=True), RestAnswer(reset=True), RestAnswer(lost=True)])
@on_account()
async def test_call_of_which_nobody_knows_is_not_asked_for_again(account: Account, answer: RestAnswer) -> None:
    account.vendor.answer_with(answer)
    with pytest.raises(TwilioError) as raised:
        await account.rest.place(CALL)
    assert not raised.value.undone
    assert len(account.vendor.requests) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"to": "+1"}, 21211), ({"from_": "+15550100001"}, 21210), ({"answered_url": "nowhere"}, 21205)],
)
@on_account()
async def test_call_that_is_refused_is_not_asked_for_again(
    account: Account, changes: dict[str, str], code: int
) -> None:
    with pytest.raises(TwilioError) as raised:
        await account.rest.place(replace(CALL, **changes))
    assert (raised.value.code, raised.value.retryable, raised.value.undone) == (code, False, True)
    assert len(account.vendor.requests) == 1


@on_account()
async def test_message_is_sent(account: Account) -> None:
    account.vendor.answer_with(RestAnswer(500))
    sid = await account.rest.send_message(to=ADA, from_=OURS, text="Your table is booked.")
    assert sid.startswith("SM")
    assert account.vendor.messages == [{"To": ADA, "From": OURS, "Body": "Your table is booked."}]


@pytest.mark.parametrize("text", ["", "  ", "x" * 1601])
@on_account()
async def test_message_that_cannot_be_one_is_not_sent(account: Account, text: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        await account.rest.send_message(to=ADA, from_=OURS, text=text)
    assert account.vendor.requests == []


@on_account()
async def test_message_to_whom_wants_none_is_refused(account: Account) -> None:
    account.vendor.unsubscribed.add(ADA)
    with pytest.raises(TwilioError) as raised:
        await account.rest.send_message(to=ADA, from_=OURS, text="Hello")
    assert (raised.value.code, raised.value.retryable) == (21610, False)


@on_account()
async def test_number_is_led_elsewhere(account: Account) -> None:
    account.vendor.answer_with(RestAnswer(reset=True), RestAnswer(429))
    number = await account.rest.own_number(OURS)
    assert number is not None
    assert (number.number, number.urls) == (OURS, NumberUrls())
    wanted = NumberUrls(f"{AFTER}?voice", f"{AFTER}?fallback", f"{AFTER}?status")
    assert (await account.rest.lead(number, wanted)).urls == wanted
    found = await account.rest.own_number(OURS)
    assert found is not None
    assert found.urls == wanted


@on_account()
async def test_number_of_another_is_not_found(account: Account) -> None:
    assert await account.rest.own_number("+1555010000") is None  # only the beginning of ours
    assert await account.rest.own_number(ADA) is None
