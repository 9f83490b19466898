"""What the model proposes, read: valid, or refused in words that it can act on. Nothing it says is trusted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import JsonValue, ValidationError

from voicebot.flow.observations import ObservationSpec
from voicebot.flow.tools import readable
from voicebot.json_codec import dumps, loads

from .entries import (
    EvidenceKind,
    JudgementMade,
    ObservationConfirmed,
    ObservationDeclined,
    ObservationRecorded,
)
from .events import ToolProposed
from .standing import Standing
from .state import Quote
from .witness import weigh

LONGEST_QUOTE = 500
NOT_SAID = "the caller did not say that, as far as it was understood"
_ASK_AGAIN = f"{NOT_SAID}; ask again"


def clipped(text: str, limit: int = LONGEST_QUOTE) -> str:
    """At most so many characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def arguments_of(call: ToolProposed, offered: Collection[str]) -> dict[str, object]:
    """The arguments of a function that is on offer.

    Raises:
        ValueError: in words, why it cannot be called so.
    """
    if call.name not in offered:
        raise ValueError(f"{call.name} is not available now. Available: {', '.join(sorted(offered)) or 'none'}.")
    try:
        arguments = loads(call.arguments or "{}")
    except ValueError:
        raise ValueError("the arguments are not valid JSON") from None
    if not isinstance(arguments, dict):
        raise ValueError("the arguments must be a JSON object")
    return arguments


def quote_of(proposal: Mapping[str, object], standing: Standing) -> str:
    """The quote of a proposal.

    Raises:
        ValueError: it is missing, nobody has spoken yet, or nobody said so.
    """
    quote = proposal.get("quote")
    if not isinstance(quote, str) or not quote.strip():
        raise ValueError("a quote of the caller's own words is missing")
    if standing.state.turn == 0:
        raise ValueError("the caller has not said anything yet")
    quote = clipped(quote)
    if weigh(Quote(quote, standing.state.turn, "provisional"), standing.state)[0] == "contradicted":
        raise ValueError(_ASK_AGAIN)
    return quote


def observation(
    name: str, proposal: object, open_specs: Mapping[str, ObservationSpec], standing: Standing
) -> ObservationRecorded | ObservationConfirmed | ObservationDeclined:
    """One proposed observation.

    Raises:
        ValueError: in words, why it cannot be taken.
    """
    if name not in standing.flow.specs:
        raise ValueError(f"there is no such field; fields now: {', '.join(open_specs)}")
    if standing.flow.specs[name].ask.computed is not None:
        raise ValueError("this is worked out from the other fields, never recorded")
    if standing.flow.specs[name].ask.secret:
        raise ValueError("this is entered with the keys of the telephone; you neither ask for it nor record it")
    if name not in open_specs:
        raise ValueError("this field is not open in this part of the conversation")
    if not isinstance(proposal, dict):
        raise ValueError('give {"value": …, "quote": "the caller\'s words"}')
    quote, spec, turn = quote_of(proposal, standing), open_specs[name], standing.state.turn
    if proposal.get("declined") is True:
        if not spec.ask.optional:
            raise ValueError("this is needed: explain why and ask once more, or offer to end the call")
        return ObservationDeclined(name, quote, turn)
    if proposal.get("confirmed") is True and _as_recorded(spec, proposal.get("value"), standing):
        return _agreement(spec, quote, standing)
    if "value" not in proposal:
        raise ValueError("the value is missing")
    return ObservationRecorded(name, valid(spec, proposal["value"]), "speech", quote, turn)


def _as_recorded(spec: ObservationSpec, value: object, standing: Standing) -> bool:
    """Whether the model confirms what is recorded: no value is given, or the same."""
    observed = standing.state.observed.get(spec.name)
    return value is None or (observed is not None and observed.json_value == valid(spec, value))


def _agreement(spec: ObservationSpec, quote: str, standing: Standing) -> ObservationConfirmed:
    """The caller's yes to a value that was read back: it takes a turn of theirs after the value's own."""
    observed = standing.state.observed.get(spec.name)
    if observed is None:
        raise ValueError("there is nothing to confirm yet; record the value first")
    if spec.ask.confirm is None and spec.name not in standing.state.asked_again:
        raise ValueError("this needs no confirmation; record it with its value")
    if observed.quote.turn >= standing.state.turn:
        raise ValueError("read it back first; the caller must agree after they have heard it")
    agreed = Quote(quote, standing.state.turn, "provisional")  # an earlier yes was to something else
    if weigh(agreed, standing.state, since=observed.quote.turn + 1)[0] == "contradicted":
        raise ValueError(_ASK_AGAIN)
    return ObservationConfirmed(spec.name, quote, standing.state.turn)


def valid(spec: ObservationSpec, value: object) -> JsonValue:
    """A proposed value in JSON form, after type, constraints and the author's check.

    Raises:
        ValueError: in words, what is wrong with it.
    """
    try:
        # JSON mode: "2026-11-22" is a date, but "7" is no number and 1 is no truth.
        typed = spec.adapter.validate_json(dumps(value), strict=True)
    except ValidationError as exc:
        raise ValueError(readable(exc)) from exc
    return json_of(spec, checked(spec, typed))


def json_of(spec: ObservationSpec, typed: object) -> JsonValue:
    """A value in JSON form."""
    value: JsonValue = spec.adapter.dump_python(typed, mode="json")
    return value


def checked(spec: ObservationSpec, typed: object) -> object:
    """Run the author's check, if there is one; a check that breaks refuses the value instead of the call.

    Raises:
        ValueError: the check refused the value.
    """
    if spec.ask.check is None:
        return typed
    try:
        kept = spec.ask.check(typed)
        return typed if kept is None else spec.adapter.validate_python(kept)
    except ValidationError as exc:
        raise ValueError(readable(exc)) from exc
    except ValueError:
        raise
    except Exception as exc:
        raise ValueError(f"it could not be checked ({type(exc).__name__}); ask again later") from exc


def from_outside(name: str, value: JsonValue, kind: EvidenceKind, standing: Standing) -> ObservationRecorded:
    """An observation that a tool hands in.

    Raises:
        ValueError: in words, why it cannot be taken.
    """
    spec = standing.flow.specs.get(name)
    if spec is None:
        raise ValueError("there is no such field")
    if spec.ask.computed is not None:
        raise ValueError("it is worked out from the other fields")
    if spec.ask.secret:
        raise ValueError("it is entered with the keys of the telephone alone")
    return ObservationRecorded(name, valid(spec, value), kind, "", standing.state.turn)


def judgement(arguments: Mapping[str, object], criteria: Collection[str], standing: Standing) -> JudgementMade:
    """A verdict on one of the phase's criteria.

    Raises:
        ValueError: in words, why it cannot be taken.
    """
    criterion, holds = arguments.get("criterion"), arguments.get("holds")
    if not isinstance(criterion, str) or criterion not in criteria:
        raise ValueError(f"criterion must be one of: {'; '.join(criteria)}")
    if not isinstance(holds, bool):
        raise ValueError("holds must be true or false")
    return JudgementMade(criterion, holds, quote_of(arguments, standing), standing.state.turn)
