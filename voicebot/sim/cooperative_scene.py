"""What a model sees of a call, taken apart: the parts of its instructions, its functions, what was said and done.

The headings are those of the engine's prompts; a part that is not there is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from .brain import Context, ContextItem
from .cooperative_words import Schema, properties_of, required_of

ENGINES_OWN = frozenset(
    {"record", "judge", "request_phase", "apply_rule", "end_call", "transfer_call", "switch_language"}
)
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_LISTED = re.compile(r"^- (\w+): (.*)$", re.MULTILINE)
_PHASE = "This part of the conversation:"
_TODAY = re.compile(r"It is \w+, (\d{1,2} \w+ \d{4})")
_DICTATED = "Say exactly this, word for word, and nothing else: "


@dataclass(frozen=True, slots=True)
class Field:
    """A field that `record` takes."""

    name: str
    description: str
    schema: Schema
    confirmable: bool
    declinable: bool


@dataclass(frozen=True, slots=True)
class Use:
    """A function call, with its answer as JSON gives it (text that is no JSON as it is, None before it came)."""

    name: str
    arguments: Mapping[str, object]
    answer: object

    @property
    def refused(self) -> dict[str, str]:
        """What was refused, and why."""
        told = self.answer.get("refused") if isinstance(self.answer, dict) else None
        if isinstance(told, dict):
            return {str(name): str(why) for name, why in told.items()}
        return {self.name: str(told)} if told else {}

    @property
    def accepted(self) -> list[str]:
        """The fields that were taken."""
        told = self.answer.get("accepted") if isinstance(self.answer, dict) else None
        return [str(name) for name in told] if isinstance(told, list) else []

    @property
    def ends_the_part(self) -> bool:
        """Whether the answer says that another part of the conversation begins."""
        return isinstance(self.answer, dict) and "next" in self.answer


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of a call, as the model sees it.

    Attributes:
        about: the instructions of the phase.
        known: recorded values by name, as the instructions print them.
        missing, read_back, optional: names of fields: still to find out, to be agreed to, to record if mentioned.
        today: of the business.
        words: the caller's last.
        fresh: whether nothing has been said or done about them yet.
        spoken: the assistant's last, whoever put them there.
        uses: every function call of the conversation, in order; the last `recent` of them came since anybody spoke.
        note: what the model is told beside the conversation, if that is the latest thing of all.
    """

    about: str
    known: Mapping[str, str]
    missing: Sequence[str]
    read_back: Sequence[str]
    optional: Sequence[str]
    today: date | None
    fields: Mapping[str, Field]
    tools: Mapping[str, Mapping[str, object]]
    words: str
    fresh: bool
    spoken: str
    uses: Sequence[Use]
    recent: int
    note: str

    @property
    def dictated(self) -> str:
        """What is to be said word for word."""
        return self.note.partition(_DICTATED)[2].strip()

    @property
    def latest(self) -> Sequence[Use]:
        """The function calls since the caller or the model itself said anything."""
        return self.uses[len(self.uses) - self.recent :]

    def choices(self, tool: str, parameter: str) -> list[str]:
        """What a function on offer takes for a parameter; nothing if it is not on offer."""
        options = properties_of(self.parameters(tool)).get(parameter, {}).get("enum")
        return [str(option) for option in options] if isinstance(options, list) else []

    def parameters(self, tool: str) -> Schema:
        """The schema of a function's parameters."""
        found = self.tools.get(tool, {}).get("parameters")
        return found if isinstance(found, dict) else {}

    def own_tools(self) -> list[str]:
        """The functions of the flow itself."""
        return [name for name in self.tools if name not in ENGINES_OWN]


def scene_of(context: Context, said_by_us: Collection[str]) -> Scene:
    """Take a context apart.

    Args:
        said_by_us: what the brain itself has said; other words of the assistant were put there for it.
    """
    parts = _parts(context.instructions)
    tools = {str(tool.get("name")): tool for tool in context.tools}
    fields = _fields(tools.get("record", {}))
    about = next((body for heading, body in parts.items() if heading.startswith(_PHASE)), "")
    read_back = _names(parts.get("To read back now", ""), fields)
    missing = _names(parts.get("Still to find out now", ""), fields)
    spoken = [place for place, item in enumerate(context.items) if item.role == "user" and item.text.strip()]
    ours = [place for place, item in enumerate(context.items) if item.role == "assistant" and item.text in said_by_us]
    called = [place for place, item in enumerate(context.items) if item.kind == "function_call"]
    heard_at, acted_at = max(spoken, default=-1), max([*ours, *called], default=-1)
    quiet_from = max([*spoken, *ours], default=-1)
    return Scene(
        about=about,
        known=dict(_LISTED.findall(parts.get("Known so far", ""))),
        missing=[name for name in missing if name not in read_back],
        read_back=read_back,
        optional=_names(parts.get("To record if mentioned", ""), fields),
        today=_today(parts.get("Now", "")),
        fields=fields,
        tools=tools if context.tool_choice != "none" else {},
        words=context.items[heard_at].text.strip() if spoken else "",
        fresh=heard_at > acted_at,
        spoken=next((item.text for item in reversed(context.items) if item.role == "assistant"), ""),
        uses=_uses(context.items),
        recent=sum(place > quiet_from for place in called),
        note=context.items[-1].text if context.items and context.items[-1].role == "system" else "",
    )


def _parts(instructions: str) -> dict[str, str]:
    """The text below each heading."""
    cut = _HEADING.split(instructions)
    return {heading.strip(): body.strip() for heading, body in zip(cut[1::2], cut[2::2], strict=False)}


def _names(body: str, fields: Mapping[str, Field]) -> list[str]:
    return [name for name, _ in _LISTED.findall(body) if name in fields]


def _today(body: str) -> date | None:
    found = _TODAY.search(body)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%d %B %Y").date()  # noqa: DTZ007 - a day of the business's calendar
    except ValueError:
        return None


def _fields(record: Mapping[str, object]) -> dict[str, Field]:
    parameters = record.get("parameters")
    found = {}
    for name, proposal in properties_of(parameters if isinstance(parameters, dict) else {}).items():
        parts = properties_of(proposal)
        description = str(proposal.get("description") or name.replace("_", " "))
        found[name] = Field(name, description, parts.get("value", {}), "confirmed" in parts, "declined" in parts)
    return found


def _uses(items: Sequence[ContextItem]) -> list[Use]:
    answers = {item.call_id: item.output for item in items if item.kind == "function_call_output"}
    calls = [item for item in items if item.kind == "function_call"]
    return [Use(call.name, _object(call.arguments), _json(answers.get(call.call_id))) for call in calls]


def _object(text: str) -> dict[str, object]:
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _json(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text


def needs(schema: Schema) -> list[str]:
    """The parameters that a function cannot be called without."""
    return [name for name in required_of(schema) if name in properties_of(schema)]
