"""What Twilio's REST API makes of the forms that begin something: their fields, and what it refuses (2010-04-01)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

LONGEST_TWIML = 4000  # characters
LONGEST_MESSAGE = 1600
LONGEST_RING_S = 600
REPEATED = frozenset({"StatusCallbackEvent"})  # fields that a form may give several times
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
_METHODS = ("GET", "POST")
_CALL_FIELDS = frozenset(
    {
        *("To", "From", "Url", "Twiml", "ApplicationSid", "Method", "FallbackUrl", "FallbackMethod", "StatusCallback"),
        *("StatusCallbackMethod", "StatusCallbackEvent", "Timeout", "TimeLimit", "SendDigits", "CallerId"),
        *("CallReason", "CallToken", "Trim", "MachineDetection", "MachineDetectionTimeout", "AsyncAmd"),
        *("MachineDetectionSpeechThreshold", "MachineDetectionSpeechEndThreshold", "MachineDetectionSilenceTimeout"),
        *("AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod", "Record", "RecordingChannels"),
        *("RecordingStatusCallback", "RecordingStatusCallbackMethod", "RecordingStatusCallbackEvent"),
        *("RecordingTrack",),
    }
)
_MESSAGE_FIELDS = frozenset({"To", "From", "MessagingServiceSid", "Body", "StatusCallback"})
NUMBER_FIELDS: Mapping[str, str] = {  # of an IncomingPhoneNumber, with their names where it is shown
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "FriendlyName": "friendly_name",
}
_MESSAGES = {
    20001: "Invalid parameter",
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20500: "Internal Server Error",
    20503: "Service Unavailable",
    12100: "Document parse failure",
    21201: "No 'To' number is specified",
    21203: "International calling not enabled",
    21205: "Url is not a valid URL",
    21210: "'From' phone number not verified",
    21211: "Invalid 'To' Phone Number",
    21212: "Invalid 'From' Phone Number",
    21213: "'From' phone number is required",
    21220: "Call is not in-progress. Cannot redirect.",
    21402: "VoiceUrl is not valid",
    21502: "Invalid StatusCallback URL",
    21602: "Message body is required",
    21603: "A 'From' phone number is required",
    21604: "A 'To' phone number is required",
    21606: "The From phone number is not a valid, SMS-capable number of this account",
    21609: "Invalid StatusCallback",
    21610: "Attempt to send to unsubscribed recipient",
    21617: "The concatenated message body exceeds the 1600 character limit",
}


class RefusedError(Exception):
    """The request is not carried out. `code` is the vendor's."""

    def __init__(self, status: int, code: int, retry_after: str | None = None) -> None:
        super().__init__(status, code)
        self.status, self.code, self.retry_after = status, code, retry_after

    def body(self) -> dict[str, object]:
        """What is answered."""
        return {
            "code": self.code,
            "message": _MESSAGES[self.code],
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that the account has placed. `events` are those that `progress_url` is told of."""

    to: str
    from_: str
    answered_url: str
    answered_method: str
    progress_url: str | None
    events: frozenset[str]
    ring_s: int
    detection: str | None  # MachineDetection
    detection_url: str | None  # None without asynchronous detection


def is_address(url: str) -> bool:
    """Whether the vendor would ask it."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def read_call(form: Mapping[str, str], own: Sequence[str]) -> Placed:
    """The form of `POST /Calls.json`; `own` are the account's numbers.

    Raises:
        RefusedError: as the vendor would.
    """
    _require(form, {"To": 21201, "From": 21213})
    if not _NUMBER.fullmatch(form["To"]):
        raise RefusedError(400, 21211)
    if not _NUMBER.fullmatch(form["From"]):
        raise RefusedError(400, 21212)
    if form["From"] not in own:
        raise RefusedError(400, 21210)
    if not is_address(form.get("Url", "")):
        raise RefusedError(400, 20001 if len(form.get("Twiml", "")) > LONGEST_TWIML else 21205)
    for name in ("StatusCallback", "AsyncAmdStatusCallback"):
        if name in form and not is_address(form[name]):
            raise RefusedError(400, 21609)
    events = frozenset(form.get("StatusCallbackEvent", "completed").split())
    ring_s = _whole(form, "Timeout", 60, 1, LONGEST_RING_S)
    _whole(form, "MachineDetectionTimeout", 30, 3, 59)
    if not events <= _EVENTS or form.get("MachineDetection", "Enable") not in ("Enable", "DetectMessageEnd"):
        raise RefusedError(400, 20001)
    for name in ("Method", "StatusCallbackMethod", "AsyncAmdStatusCallbackMethod"):
        if form.get(name, "POST").upper() not in _METHODS:
            raise RefusedError(400, 20001)
    return Placed(
        to=form["To"],
        from_=form["From"],
        answered_url=form["Url"],
        answered_method=form.get("Method", "POST").upper(),
        progress_url=form.get("StatusCallback"),
        events=events,
        ring_s=ring_s,
        detection=form.get("MachineDetection"),
        detection_url=form.get("AsyncAmdStatusCallback") if form.get("AsyncAmd") == "true" else None,
    )


def odd_call(form: Mapping[str, str]) -> Iterator[str]:
    """What the vendor lets pass in a call's form, and a good client does not send."""
    yield from (f"a new call has no field {name!r}" for name in sorted(form.keys() - _CALL_FIELDS))
    if sum(bool(form.get(name)) for name in ("Url", "Twiml", "ApplicationSid")) > 1:
        yield "a new call says twice what comes when it is answered"
    if "Record" in form:
        yield "a new call is recorded, and nobody has asked those who speak"
    if "AsyncAmd" in form and not (form.get("MachineDetection") and form.get("AsyncAmdStatusCallback")):
        yield "a new call has who answers detected, and nobody told"


def check_message(form: Mapping[str, str], own: Sequence[str]) -> None:
    """The form of `POST /Messages.json`.

    Raises:
        RefusedError: as the vendor would.
    """
    _require(form, {"To": 21604, "Body": 21602})
    if not (form.get("From") or form.get("MessagingServiceSid")):
        raise RefusedError(400, 21603)
    if not _NUMBER.fullmatch(form["To"]):
        raise RefusedError(400, 21211)
    if form.get("From") and form["From"] not in own:
        raise RefusedError(400, 21606)
    if len(form["Body"]) > LONGEST_MESSAGE:
        raise RefusedError(400, 21617)


def odd_message(form: Mapping[str, str]) -> Iterator[str]:
    """As `odd_call`."""
    yield from (f"a message has no field {name!r}" for name in sorted(form.keys() - _MESSAGE_FIELDS))


def check_number(form: Mapping[str, str]) -> None:
    """The form of `POST /IncomingPhoneNumbers/{sid}.json`.

    Raises:
        RefusedError: as the vendor would.
    """
    for name, code in (("VoiceUrl", 21402), ("VoiceFallbackUrl", 21402), ("StatusCallback", 21502)):
        if form.get(name) and not is_address(form[name]):
            raise RefusedError(400, code)
    for name in ("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod"):
        if form.get(name, "POST").upper() not in _METHODS:
            raise RefusedError(400, 20001)


def odd_number(form: Mapping[str, str]) -> Iterator[str]:
    """As `odd_call`."""
    yield from (f"a number has no field {name!r}" for name in sorted(form.keys() - NUMBER_FIELDS.keys()))
    if not form:
        yield "an update of a number asks for nothing"


def _require(form: Mapping[str, str], codes: Mapping[str, int]) -> None:
    for name, code in codes.items():
        if not form.get(name):
            raise RefusedError(400, code)


def _whole(form: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = form.get(name, str(default))
    if not (text.isdecimal() and least <= int(text) <= most):
        raise RefusedError(400, 20001)
    return int(text)
