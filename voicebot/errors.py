"""Every error of voicebot, one class per decision a caller takes.

VoicebotError
├── SettingsError              a setting is missing or wrong: stop the start, name the variable
├── FlowError                  a flow file or its JSON is wrong: keep the running version, show file and line
│   └── UnknownFlowError       no flow has this name: list those that exist
├── FunctionFailedError        a function of the flow's author broke: take its answer as not given
├── ToolError                  a tool did not do its work, and says in words what to do: tell the model
├── RefusedRequestError        the request is not from whom it claims: answer 403, open nothing
├── RemoteProtocolError        the other side broke its protocol: drop this message or this connection
│   ├── MediaStreamError       a frame from the phone's socket
│   ├── RealtimeEventError     an event from the model's socket
│   └── RealtimeMessageError   a message from a client of `/realtime`
├── ModelUnavailableError      the model's socket cannot be had: `retryable` says whether to try again
├── LegLostError               the caller's socket is gone: the call ends or is resumed
├── StoreError                 the store did not answer or is damaged: degrade, keep the calls
│   ├── CallTakenError         another instance has the call: let go of it, and write nothing more of it
│   └── JournalError           a call's journal is damaged or fits no flow: report what is known without it
├── OutboundRefusedError       a call may not be placed, or not now: say why, and place none
├── RecordingError             a recording is not here, damaged, or sealed with another key: say so, play no part of it
├── VaultError                 a caller's secret cannot be opened: deliver nothing of it, try again
├── TwilioError                Twilio's REST API did not do it: `retryable` says whether to try again
├── DeliveryError              a receiver did not take the report: `disable` says whether it is gone for good
├── ProjectError               a new project cannot be made there: say what is in the way, leave all as it was
└── ScenarioError              a rehearsed call did not go as its scenario says
"""

from __future__ import annotations

from collections.abc import Sequence


class VoicebotError(Exception):
    """Base of everything voicebot raises on purpose. It passes between processes with its facts."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[VoicebotError], args: tuple[object, ...], facts: dict[str, object]) -> VoicebotError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class SettingsError(VoicebotError):
    """A setting is missing or wrong. `variable` is its name in the environment."""

    def __init__(self, variable: str, problem: str, mend: str) -> None:
        super().__init__(variable, problem, mend)
        self.variable, self.problem, self.mend = variable, problem, mend

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}. {self.mend}"


class FlowError(VoicebotError):
    """A flow cannot be used. `where` is `file:line` or the path inside its JSON, when known."""

    def __init__(self, problem: str, *, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(problem, where, mend)
        self.problem, self.where, self.mend = problem, where, mend

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.mend})" if self.mend else ""
        return f"{place}{self.problem}{advice}"


class UnknownFlowError(FlowError):
    """No flow has this name. `known` lists those that were loaded."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        listed = ", ".join(known) if known else "none"
        super().__init__(f"no flow is named {name!r}", mend=f"loaded flows: {listed}")


class FunctionFailedError(VoicebotError):
    """A guard, check or computed field of the author raised something else than `ValueError`."""


class ToolError(VoicebotError):
    """Raised by a tool: nothing has happened, and these words tell the model what to do.

    Any other exception of a tool that must run once leaves open whether it has run.
    """


class RefusedRequestError(VoicebotError):
    """A request's signature or token does not hold. The text never holds the expected value."""


class RemoteProtocolError(VoicebotError):
    """The other side sent what its protocol does not allow."""


class MediaStreamError(RemoteProtocolError):
    """A Media Streams message is malformed."""


class RealtimeEventError(RemoteProtocolError):
    """A Realtime API event is malformed."""


class RealtimeMessageError(RemoteProtocolError):
    """A message of a client of `/realtime` is malformed."""


class ModelUnavailableError(VoicebotError):
    """The speech model cannot be reached or refused the session.

    `retryable` is False for what another try cannot mend (bad key, unknown model, no quota).
    """

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.reason, self.retryable = reason, retryable


class LegLostError(VoicebotError):
    """The caller's connection is gone or too slow to be written to."""


class StoreError(VoicebotError):
    """The store could not read or write."""


class CallTakenError(StoreError):
    """The call belongs to another instance, or is over: what was to be written of it stays unwritten."""

    def __init__(self, call_sid: str) -> None:
        super().__init__(call_sid)
        self.call_sid = call_sid

    def __str__(self) -> str:
        return f"call {self.call_sid} is in other hands, or over"


class JournalError(StoreError):
    """A call's journal cannot be read as one, or is not of a call with its flow."""


class OutboundRefusedError(VoicebotError):
    """A call is not placed. `reason` is a word for machines, `problem` a sentence for people."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason, self.problem = reason, problem

    def __str__(self) -> str:
        return self.problem


class VaultError(VoicebotError):
    """A sealed secret does not open: the server's secret is another one than it was sealed with, or it is damaged."""

    def __init__(self, call_sid: str, name: str) -> None:
        super().__init__(call_sid, name)
        self.call_sid, self.name = call_sid, name

    def __str__(self) -> str:
        return f"{self.name!r} of {self.call_sid} does not open: is VOICEBOT_SECRET the one that it was sealed with?"


class RecordingError(VoicebotError):
    """A recording cannot be had as it was made."""


class TwilioError(VoicebotError):
    """Twilio's REST API refused or did not answer.

    `status` and `code` are its own, None where there was no answer; `retry_after_s` is what it asked for. `undone` says
    that what was asked for is known not to be done: it answered so, or was not asked at all.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        code: int | None = None,
        retry_after_s: float | None = None,
        asked: bool = True,
    ) -> None:
        super().__init__(reason, status, code)
        self.undone = status is not None or not asked
        self.reason, self.status, self.code, self.retry_after_s = reason, status, code, retry_after_s
        self.retryable = status is None or status in (408, 429) or status >= 500

    def __str__(self) -> str:
        return f"Twilio: {self.reason}"


class DeliveryError(VoicebotError):
    """A receiver did not accept a delivery.

    `status` is the HTTP status, None when no answer came. `retry_after_s` is what the receiver asked for.
    `disable` is True when the receiver is gone for good (410), `throttle` when it or what stands before it is
    overloaded (429, 502, 503, 504; Standard Webhooks).
    """

    def __init__(self, url: str, reason: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(url, reason, status)
        self.url, self.reason, self.status, self.retry_after_s = url, reason, status, retry_after_s
        self.disable, self.throttle = status == 410, status in (429, 502, 503, 504)

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"


class ProjectError(VoicebotError):
    """A new project is not made, and nothing was changed."""

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(problem, mend)
        self.problem, self.mend = problem, mend

    def __str__(self) -> str:
        return f"{self.problem} ({self.mend})"


class ScenarioError(VoicebotError):
    """A rehearsed call went another way than its scenario says."""
