"""The flow itself: phases, transitions and limits, as frozen objects that authors write and JSON holds.

One set of classes is both: an author calls them in Python, pydantic reads and writes their JSON form. Python
functions (tools, checks) stand in JSON by name and are looked up among registered ones, never imported by path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.dataclasses import dataclass
from pydantic.json_schema import GenerateJsonSchema

from voicebot.errors import FlowError

from .expressions import Guard, read_field
from .observations import Observations, ObservationSpec, read_observations, specs_of
from .source import place_of, remember_place
from .tools import Tool, readable

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
LONGEST_SAY = 600  # characters: half a minute of speech
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: object) -> object:
    """`"90s"`, `"8m"`, `"1.5h"`, `"500ms"` or a number of seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h)\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is no length of time; write 90s, 8m, 1.5h or 500ms")
    return float(match[1]) * _UNITS_S[match[2]]


def _registry(info: ValidationInfo) -> Mapping[str, Any]:
    return (info.context or {}).get("functions", {}) if isinstance(info.context, dict) else {}


def _read_tool(value: object, info: ValidationInfo) -> Tool:
    if isinstance(value, Tool):
        return value
    if isinstance(value, str) and isinstance(found := _registry(info).get(value), Tool):
        return found
    if callable(value):
        raise ValueError(f"{getattr(value, '__name__', value)!r} is no tool: decorate it with @tool")
    raise ValueError(f"no tool is registered as {value!r}")


def _read_observations(value: object, info: ValidationInfo) -> type[Observations]:
    if isinstance(value, type) and issubclass(value, Observations):
        return value
    return read_observations(value, _registry(info))


Seconds = Annotated[float, BeforeValidator(_seconds)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
FieldName = Annotated[str, BeforeValidator(read_field)]
ToolName = Annotated[
    Tool,
    PlainValidator(_read_tool),
    PlainSerializer(lambda tool: tool.name, return_type=str),
    WithJsonSchema({"type": "string", "description": "name of a registered tool"}),
]
ObservationsClass = Annotated[
    type[Observations],
    PlainValidator(_read_observations),
    PlainSerializer(lambda given: [spec.document() for spec in specs_of(given)], return_type=list),
    WithJsonSchema({"type": "array", "items": {"type": "object"}}),
]


@dataclass(frozen=True, config=_CONFIG)
class Say:
    """Exactly these words, spoken in the flow's voice.

    `interruptible=False`: the caller's speech does not stop it (a disclosure). In `must_say` it has a `name`, by which
    `heard("name")` asks for it, and `{field}` in its text stands for a recorded value.
    """

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_SAY)]
    _: KW_ONLY
    name: str = ""
    interruptible: bool = True


@dataclass(frozen=True, config=_CONFIG)
class To:
    """A transition: to `phase`, when the phase is done and `when` holds (always, if not given)."""

    phase: str
    _: KW_ONLY
    when: Guard | None = None

    def __post_init__(self) -> None:
        remember_place(self)


@dataclass(frozen=True, config=_CONFIG)
class HangUp:
    """The call ends here, once the caller has heard the goodbye."""

    kind: Literal["hang_up"] = "hang_up"


@dataclass(frozen=True, config=_CONFIG)
class AskAgain:
    """After a silence: say something short so that the caller knows the line is alive."""

    kind: Literal["ask_again"] = "ask_again"


@dataclass(frozen=True, config=_CONFIG)
class After:
    """One rung of the silence ladder: after so much silence of the caller, the bot's own words not counted."""

    delay: Seconds
    then: AskAgain | HangUp | To


_LADDER = (After("8s", AskAgain()), After("18s", AskAgain()), After("30s", HangUp()))  # type: ignore[arg-type]


@dataclass(frozen=True, config=_CONFIG)
class Limits:
    """Bounds of a call. `duration` counts from the answer; at its end the bot closes the call politely."""

    _: KW_ONLY
    duration: Seconds = 1200.0
    silence: tuple[After, ...] = _LADDER

    def __post_init__(self) -> None:
        if not 1 <= self.duration <= 4 * 3600:
            raise ValueError("duration must be from 1s to 4h")
        delays = [rung.delay for rung in self.silence]
        if delays != sorted(set(delays)) or (delays and delays[0] < 1):
            raise ValueError("silence must list growing delays of at least 1s")


@dataclass(frozen=True, config=_CONFIG)
class Phase:
    """One stretch of the conversation, with its own instructions.

    It ends when every required observation of it is there, the caller has heard everything in `must_say` word for word,
    and every success criterion holds; then the first transition whose guard holds is taken. A phase that asks for
    nothing, or only for what is optional, ends after one turn of the caller. A phase with `end` speaks its
    instructions' goodbye and closes the call.
    """

    name: Name
    _: KW_ONLY
    instructions: str = ""
    observations: tuple[FieldName, ...] = ()
    tools: tuple[ToolName, ...] = ()
    must_say: tuple[Say, ...] = ()
    success_criteria: tuple[Guard, ...] = ()
    transitions: tuple[To, ...] = ()
    may_jump: tuple[str, ...] = ()
    end: HangUp | None = None

    def __post_init__(self) -> None:
        remember_place(self)
        if any(not say.name for say in self.must_say):
            raise FlowError(
                f"a statement of phase {self.name!r} has no name", where=place_of(self), mend='write Say("…", name="…")'
            )


@dataclass(frozen=True, config=_CONFIG)
class Report:
    """How the report names what came of the call: the first outcome whose expression holds."""

    _: KW_ONLY
    outcome: dict[str, Guard] = field(default_factory=dict)


def _opening(value: object) -> object:
    return Say(value) if isinstance(value, str) else value


@dataclass(frozen=True, config=_CONFIG)
class Flow:
    """A whole conversation. See `flows/` for three of them.

    Attributes:
        goal: what the call is for, in one sentence.
        phases: at least one; `initial_phase` names the first (default: the first in the list).
        persona: who speaks, and how.
        opening: exact first words; without it the model greets in its own.
        languages: ISO 639-1 codes; the first is the default.
        voice: a voice of the speech model.
        timezone: IANA zone of the business; prompts give its date and time.
        knowledge: facts the model may use, as text.
        numbers: phone numbers (E.164) that lead here.
    """

    _: KW_ONLY
    goal: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    phases: tuple[Phase, ...]
    observations: ObservationsClass = Observations
    initial_phase: str = ""
    persona: str = ""
    opening: Annotated[Say | None, BeforeValidator(_opening)] = None
    languages: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")], ...] = ("en",)
    voice: str = "marin"
    timezone: str = "UTC"
    knowledge: str = ""
    tools_everywhere: tuple[ToolName, ...] = ()
    numbers: tuple[Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")], ...] = ()
    limits: Limits = Limits()
    report: Report = Report()

    def __post_init__(self) -> None:
        remember_place(self)
        if not self.phases:
            raise FlowError("the flow has no phases", where=place_of(self), mend="give at least one Phase")
        if not self.languages:
            raise FlowError("the flow has no language", where=place_of(self), mend='give languages=["en"]')
        if not self.initial_phase:
            object.__setattr__(self, "initial_phase", self.phases[0].name)

    @cached_property
    def specs(self) -> Mapping[str, ObservationSpec]:
        """Every observation by name, in order."""
        return {spec.name: spec for spec in specs_of(self.observations)}

    @cached_property
    def by_name(self) -> Mapping[str, Phase]:
        """Every phase by name."""
        return {phase.name: phase for phase in self.phases}

    @cached_property
    def statements(self) -> Mapping[str, Say]:
        """Every statement that some phase must say, by name."""
        return {say.name: say for phase in self.phases for say in phase.must_say}

    @cached_property
    def collected_in(self) -> Mapping[str, tuple[str, ...]]:
        """What each phase collects; where no phase lists any, each that does not end collects all."""
        if any(phase.observations for phase in self.phases):
            return {phase.name: phase.observations for phase in self.phases}
        everything = tuple(self.specs)
        return {phase.name: () if phase.end else everything for phase in self.phases}

    def tools_in(self, phase: Phase) -> Iterator[Tool]:
        """The flow's own tools that the model may call in this phase."""
        yield from phase.tools
        yield from (tool for tool in self.tools_everywhere if tool not in phase.tools)


_ADAPTER: TypeAdapter[Flow] = TypeAdapter(Flow)


def flow_to_json(flow: Flow) -> str:
    """The JSON form of a flow: stable, so that its hash is a version."""
    return _ADAPTER.dump_json(flow, exclude_none=True).decode()


def flow_from_json(text: str, functions: Mapping[str, Any] | None = None) -> Flow:
    """Read a flow from its JSON form.

    Args:
        functions: tools and checks that the form may name.

    Raises:
        FlowError: with the path of what is wrong inside the form.
    """
    try:
        return _ADAPTER.validate_json(text, context={"functions": dict(functions or {})})
    except ValidationError as exc:
        raise FlowError(readable(exc), where="flow JSON") from exc
    except FlowError as exc:
        raise FlowError(exc.problem, where=exc.where or "flow JSON", mend=exc.mend) from exc


class _WithoutClassDefaults(GenerateJsonSchema):
    """The default of `observations` is a class, which stands in no schema: pydantic need not warn of it."""

    ignored_warning_kinds = GenerateJsonSchema.ignored_warning_kinds | {"non-serializable-default"}


def flow_json_schema() -> dict[str, object]:
    """JSON Schema of the JSON form."""
    return _ADAPTER.json_schema(schema_generator=_WithoutClassDefaults)


def functions_of(flow: Flow) -> dict[str, Any]:
    """The Python functions a flow uses, by the names its JSON form gives them."""
    named: dict[str, Any] = {tool.name: tool for phase in flow.phases for tool in flow.tools_in(phase)}
    for spec in flow.specs.values():
        if spec.ask.check is not None:
            named[spec.ask.check.__name__] = spec.ask.check
    return named
