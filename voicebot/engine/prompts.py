"""The instructions of a phase, as the model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from voicebot.flow.model import Analysis, Flow, Phase
from voicebot.flow.observations import ObservationSpec

from .events import CallContext

_RULES = """\
- This is a telephone call: short sentences, one question at a time, no lists, no markup.
- Call `record` as soon as the caller tells you something from the list below, quoting their own words. \
Never record what they did not say; if you did not understand, ask again.
- The answer of `record` tells you what was accepted, what was refused and why, and what is still missing.
- You do not decide when a part of the conversation is over; you are told. Do not announce parts or tools.
- Never ask for what is already known. If the caller corrects something, record the new value.
- Facts come only from these instructions and from tools. If you do not know, say so."""

_SAID_FOR_YOU = (
    "These are spoken for you, word for word, as soon as they can be; in the conversation they stand as your own. "
    "Do not say or paraphrase them yourself; go on from them."
)
_WITHOUT_YOU = (
    "The caller is asked for these by exact words, and enters them with the keys of the telephone, which you cannot "
    "hear. Never ask for them, and stop a caller who begins to say one."
)
_READ_BACK = (
    "Read these values back and ask whether they are right. When the caller agrees, `record` each with `confirmed`; "
    "if they correct one, record the new value and read it back again."
)
_LOOK_BACK = """\
The call above is over: nobody hears you any more. Call `conclude` once, with what follows from what was said and done \
in it, and nothing else. Invent nothing; what the caller only asked about was not agreed."""
_BLANK = """\
These fields are empty. Give a value only if the caller said it, with their own words as the quote, exactly as spoken; \
leave out every other field."""
_NOT_WORKED_OUT = (
    "These follow from the caller's answers, but not from these answers. If nothing else is left to find out, say so, "
    "ask which answer they would change, and `record` the new one."
)
_LANGUAGES = {"en": "English", "it": "Italian", "de": "German", "fr": "French", "es": "Spanish", "pt": "Portuguese"}


def instructions(
    flow: Flow,
    phase: Phase,
    *,
    context: CallContext,
    wall: datetime,
    known: Mapping[str, JsonValue],
    missing: Sequence[ObservationSpec],
    optional: Sequence[ObservationSpec],
    read_back: Sequence[ObservationSpec] = (),
    criteria: Sequence[str] = (),
    problems: Mapping[str, str] | None = None,
    secret: Sequence[ObservationSpec] = (),
    language: str = "",
) -> str:
    """Everything the model needs in `phase`, as one text.

    Args:
        wall: the time now, aware.
        known: values recorded so far, in JSON form.
        missing: what this phase still needs.
        optional: what may be recorded if the caller mentions it.
        read_back: what is recorded, and the caller has still to agree to.
        criteria: what the model is to judge in this phase.
        problems: computed fields that have no value with the answers as they are, each with the reason.
        secret: what the caller enters in this phase without the model.
        language: that the call is in (ISO 639-1); default: the flow's first.
    """
    language = language or flow.languages[0]
    parts = [
        flow.persona,
        f"# Goal of the call\n{flow.goal}",
        f"# Rules\n{_RULES}\n{_language_rule(flow, language)}",
        f"# Now\n{_situation(flow, context, wall)}",
        f"# Knowledge\n{flow.knowledge}" if flow.knowledge else "",
        f"# Known so far\n{_known(flow, known)}" if known else "",
        f"# This part of the conversation: {phase.name}\n{phase.instructions}",
        f"# Said for you\n{_SAID_FOR_YOU}\n{_statements(phase, language)}" if phase.must_say else "",
        f"# Still to find out now\n{_listed(missing)}" if missing else "",
        f"# Entered without you\n{_WITHOUT_YOU}\n{_listed(secret)}" if secret else "",
        f"# To read back now\n{_READ_BACK}\n{_listed(read_back)}" if read_back else "",
        f"# Could not be worked out\n{_NOT_WORKED_OUT}\n{_reasons(problems)}" if problems else "",
        f"# To judge with `judge`\n{_points(criteria)}" if criteria else "",
        f"# To record if mentioned\n{_listed(optional)}" if optional else "",
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def look_back(
    flow: Flow,
    analysis: Analysis,
    *,
    context: CallContext,
    wall: datetime,
    known: Mapping[str, JsonValue],
    blank: Sequence[ObservationSpec],
) -> str:
    """What the model needs to sum up a call that is over.

    Args:
        wall: the time now, aware.
        known: values recorded, in JSON form.
        blank: what it may fill.
    """
    name = _name(flow.languages[0])
    told = f"Write {analysis.summary}. Write {name}, three sentences at most, about the caller, not to them."
    parts = [
        f"# Task\n{_LOOK_BACK}",
        f"# Goal of the call\n{flow.goal}",
        f"# Now\n{_situation(flow, context, wall)}",
        f"# Known so far\n{_known(flow, known)}" if known else "",
        f"# Summary\n{told}",
        f"# Said but not recorded\n{_BLANK}\n{_listed(blank)}" if blank else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _name(language: str) -> str:
    return _LANGUAGES.get(language, language)


def _language_rule(flow: Flow, language: str) -> str:
    others = " or ".join(_name(code) for code in flow.languages if code != language)
    if not others:
        return f"- Speak {_name(language)}."
    switch = f"If the caller asks for {others} or begins to speak it, call `switch_language` and go on in it"
    return f"- Speak {_name(language)}. {switch}."


def _situation(flow: Flow, context: CallContext, wall: datetime) -> str:
    local = wall.astimezone(ZoneInfo(flow.timezone))
    return f"It is {local:%A, %d %B %Y, %H:%M} ({flow.timezone}). {_who(context)}"


def _who(context: CallContext) -> str:
    if context.direction == "outbound":
        facts = "".join(f"\n- {name}: {value}" for name, value in context.variables.items())
        told = f"You have called {context.caller}; whoever answers there is the caller in these instructions."
        return f"{told} Known of this call:{facts}" if facts else told
    return f"The caller's number is {context.caller}." if context.caller else "The caller's number is withheld."


def _known(flow: Flow, known: Mapping[str, JsonValue]) -> str:
    secrets = dict.fromkeys(flow.secrets, "entered by the caller, and kept from you")
    return "\n".join(f"- {name}: {secrets.get(name, value)}" for name, value in known.items())


def _listed(specs: Sequence[ObservationSpec]) -> str:
    return "\n".join(f"- {spec.name}: {spec.description}{_by_keys(spec)}" for spec in specs)


def _by_keys(spec: ObservationSpec) -> str:
    """What is said of an answer that may be spoken or pressed."""
    keypad = spec.ask.keypad
    if keypad is None or spec.ask.secret:
        return ""
    last = f", and {keypad.ends_with} at the end" if keypad.ends_with and keypad.length is None else ""
    return f" (the caller may also press it on the keys of the telephone{last})"


def _reasons(problems: Mapping[str, str]) -> str:
    return _points([f"{name}: {why}" for name, why in problems.items()])


def _statements(phase: Phase, language: str) -> str:
    return _points([say.in_language(language).text for say in phase.must_say])


def _points(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
