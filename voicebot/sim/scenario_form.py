"""The form of a scenario in YAML: every key an author may write, what it means, and its JSON Schema.

A script is a list of entries. One that begins with the caller (`caller: …`, `presses: …`, `waits_ms: …`, `hang up`)
opens an exchange; what else it says, and the entries behind it without a caller, are the model's responses to it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from .caller import TIMEOUT_MS
from .matchers import UnreadableMatcherError, read_matchers
from .parties import CallOut, Meets, Result, Rung
from .scenario import Scenario
from .yaml_tree import SAYS_NOTHING

Deed = Literal["hang up", "hear", "listen"]
State = Literal["provisional", "confirmed", "contradicted", "unverifiable"]  # of evidence, as reports name it
REPORT_FIELDS = (
    *("call_sid", "flow", "flow_version", "direction", "caller", "called", "started_at", "variables", "answered_at"),
    *("answered_by", "ended_at", "duration_s", "ended_reason", "outcome", "progress", "observations"),
    *("observation_status", "evidence", "analysis", "summary", "filled_after", "judgements", "rules", "phases"),
    *("statements", "tools", "messages", "transfer", "passed_on", "language", "languages"),
    *("transcript", "transcript_url", "response_ms", "line", "recording", "tokens", "cost", "problems"),
)


def mistake(problem: str, mend: str, *, key: str = "", path: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """An error whose context says what is wrong, how to mend it, and with which key, if it is one.

    `path` leads from the value that is being read to what is wrong inside of it.
    """
    within = (*path, key) if key else path
    return PydanticCustomError("script", "{problem}", {"problem": problem, "mend": mend, "key": within})


# ---- short ways of writing ------------------------------------------------------------------------------------------


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


def _deed(given: object) -> object:
    return {"does": given} if isinstance(given, str) else given


def _result(given: object) -> object:
    """`busy`, and a list of what becomes of one call after the other."""
    return [{"result": one} if isinstance(one, str) else one for one in (given if isinstance(given, list) else [given])]


def _meets(given: object) -> object:
    return {"meets": given} if isinstance(given, str) else given


def _report(given: dict[str, JsonValue]) -> dict[str, object]:
    """A part of the report, with its matchers read."""
    for name in given:
        if name not in REPORT_FIELDS and not name.startswith("$"):
            near = get_close_matches(name, REPORT_FIELDS, 1)
            mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(REPORT_FIELDS)}"
            raise mistake(f"a report has no {name!r}", mend, key=name)
    try:
        return {name: read_matchers(value, (name,)) for name, value in given.items()}
    except UnreadableMatcherError as exc:
        raise mistake(exc.problem, exc.mend, path=exc.path) from exc


def _digits(given: object) -> object:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _called(given: object) -> object:
    """`search`, `{search: {…}}` and lists of these, as a list of one call each."""
    calls: list[object] = []
    for one in given if isinstance(given, list) else [given]:
        match one:
            case str():
                calls.append({"name": one})
            case dict() if all(isinstance(of, dict | str) for of in one.values()):
                calls += [{"name": name, "arguments": of} for name, of in one.items()]
            case _:
                raise mistake("this calls no function", "write its name, or {name: {argument: value}}")
    return calls


OneLine = Annotated[str, AfterValidator(_one_line)]
Line = Annotated[OneLine, Field(min_length=1)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Words = Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
_Keys = Annotated[str, Field(pattern=r"^[0-9*#A-D]+$")]
Keys = Annotated[_Keys, BeforeValidator(_digits, json_schema_input_type=_Keys | int)]


class Form(BaseModel):
    """What all parts have in common: neither a misspelt key nor a forgotten value is a silent nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: object) -> object:
        empty = [name for name, value in given.items() if value is None] if isinstance(given, dict) else []
        if empty:
            raise mistake(f"{empty[0]!r} says nothing", SAYS_NOTHING, key=str(empty[0]))
        return given


class FunctionCall(Form):
    """A function that the model calls; arguments that are text are sent as they are, be they JSON or not."""

    name: str
    arguments: dict[str, JsonValue] | str = {}


_CallInput: TypeAlias = str | dict[str, dict[str, JsonValue] | str]
FunctionCalls = Annotated[
    list[FunctionCall], BeforeValidator(_called, json_schema_input_type=_CallInput | list[_CallInput])
]

ReportTree = Annotated[dict[str, JsonValue], AfterValidator(_report)]

# ---- a file of scenarios --------------------------------------------------------------------------------------------


class OneOutput(Form):
    """Words or a function call, where a response is written output by output."""

    says: Line | None = None
    calls: FunctionCalls = []

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.says is not None) + len(self.calls) != 1:
            raise mistake("this is not one output", "write `says: …` or `calls: …` with one function")
        return self


class Entry(Form):
    """What the caller does, and what the model does about it."""

    caller: Line | None = Field(None, description="What the caller says once the bot has finished.")
    interrupts_after_ms: Milliseconds | None = Field(
        None, description="The caller speaks over the bot's next utterance instead, so long after it began."
    )
    presses: Keys | None = Field(
        None, description="Keys that the caller presses once the bot has finished: 0-9 * # A-D."
    )
    at_once: bool = Field(False, description="Press the keys at once, whether or not the bot speaks.")
    leaves_message: Line | None = Field(
        None, description="What the caller says after the tone of a voicemail; no model hears it."
    )
    waits_ms: Milliseconds | None = Field(None, description="The caller keeps silent for so long, whatever happens.")
    does: Deed | None = Field(
        None,
        description="hang up: at once. hear: let the bot finish. listen: until the bot hangs up. "
        "An entry that is nothing else may be just these words.",
    )
    timeout_ms: Milliseconds = Field(TIMEOUT_MS, description="How long the caller puts up with a silent bot.")
    means: dict[str, JsonValue] = Field(
        {}, description="Values that the model records, by observation, with the caller's line as their quote."
    )
    quotes: dict[OneLine, Line] = Field(
        {}, description="Words to quote instead of the caller's whole line, by observation, criterion or rule."
    )
    confirms: Words = Field([], description="Observations that were read back and that the caller says yes to.")
    declines: Words = Field([], description="Observations that the caller does not want to tell.")
    judges: dict[OneLine, bool] = Field({}, description="The model's verdicts, by the text of the criterion.")
    asks_rule: Words = Field([], description="Rules of the flow that the model applies to what the caller says.")
    calls: FunctionCalls = Field(
        [], description="Functions that the model calls: a name, {name: {argument: value}}, or a list of these."
    )
    bot: Line | None = Field(None, description="What the model says, once it has the answers of its calls.")
    then_calls: FunctionCalls = Field([], description="Functions called in the same response, behind those words.")
    responses: list[list[OneOutput]] = Field(
        [], description="The model's responses output by output, for what the keys above cannot say."
    )

    @property
    def acts(self) -> tuple[str, ...]:
        """The keys that say what the caller does."""
        keys = ("caller", "presses", "leaves_message", "waits_ms", "does")
        return tuple(name for name in keys if getattr(self, name) is not None)

    @property
    def quotable(self) -> tuple[str, ...]:
        """What the model makes of the caller's words here, and must prove with a quote."""
        return (*self.means, *self.confirms, *self.declines, *self.judges, *self.asks_rule)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        acts = self.acts
        if len(acts) > 1:
            raise mistake(f"the caller does two things at once, {' and '.join(acts)}", "make them two entries")
        if self.interrupts_after_ms is not None and self.caller is None:
            raise mistake("interrupts_after_ms needs words", "say them in `caller`")
        if self.at_once and self.presses is None:
            raise mistake("at_once is about keys", "add `presses`, or leave it out")
        if "timeout_ms" in self.model_fields_set and (not acts or acts == ("waits_ms",) or self.does == "hang up"):
            raise mistake("timeout_ms is about a caller who waits for the bot", "leave it out")
        if self.then_calls and self.bot is None:
            raise mistake("then_calls stands behind words of the bot, and there are none", "use `calls`")
        if not (acts or self.quotable or self.calls or self.bot is not None or self.responses):
            raise mistake("nothing happens in this entry", "give it a caller or a bot")
        for name in self.quotes:
            if name not in self.quotable:
                raise mistake(f"quotes speaks of {name!r}, and nothing else here does", "add it to `means`")
        return self


class Expect(Form):
    """What must come of a call. Only what is given is compared."""

    phases: list[str] | None = Field(None, description="Every phase that was entered, in order.")
    observations: dict[str, JsonValue] = Field(
        {}, description="Values as the report has them: dates and decimals as text, null for one that is not there."
    )
    outcome: str | None = Field(None, description="What came of the call, one of the flow's outcomes.")
    ended_reason: str | None = Field(None, description="Why the call ended.")
    interruptions: Count | None = Field(None, description="The bot's utterances that the caller cut short.")
    statements: list[Line] = Field([], description="Statements that must have been heard to their end, word for word.")
    evidence: dict[str, State] = Field({}, description="The state of an observation's evidence, by name.")
    tools: list[str] | None = Field(None, description="The flow's own tools that ran, in order.")
    silences: Count | None = Field(None, description="Rungs of the silence ladder that were reached.")
    max_response_ms: Count | None = Field(None, description="The longest that the caller may wait for an answer.")
    analysis: Literal["done", "skipped"] | None = Field(None, description="What became of the look back at the call.")
    summary: OneLine | None = Field(None, description="What the look back at the call says.")
    filled_after: list[str] | None = Field(
        None, description="The observations that were filled when the call was over, in the order of the flow."
    )
    passed_on: list[str] | None = Field(
        None, description="Where the phone line took the caller, and what came of it, as in `transfer: busy`."
    )
    report: ReportTree = Field(
        {},
        description="Fields of the report itself, as deep as they are written. Instead of a value: $any (something), "
        "{$at_least: 3}, {$at_most: 9}, {$one_of: [a, b]}, {$holds: a part of a text, or an entry of a list}.",
    )


class LookBack(Form):
    """What the model makes of the call when it is over."""

    summary: Line = Field(description="What it writes of the call.")
    means: dict[str, JsonValue] = Field({}, description="What the caller said and nobody recorded, by observation.")
    quotes: dict[OneLine, Line] = Field({}, description="The caller's words that say so, by observation.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in self.means:
            if name not in self.quotes:
                raise mistake(f"nothing is quoted for {name!r}", "add the caller's words to `quotes`")
        for name in self.quotes:
            if name not in self.means:
                raise mistake(f"quotes speaks of {name!r}, and nothing else here does", "add it to `means`")
        return self


class RungForm(Form):
    """What becomes of somebody whom the phone line rings for the caller."""

    result: Result = Field("answered", description="What the phone that is rung does.")
    rings_ms: Milliseconds | None = Field(None, description="How long it rings before; with no answer, to the end.")
    talks_ms: Milliseconds | None = Field(None, description="How long the two talk.")
    hears: Line | None = Field(None, description="What whoever answers must be told, before the two are joined.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("talks_ms", "hears"):
            if getattr(self, name) is not None and self.result != "answered":
                raise mistake(f"{name} needs somebody who answers, and the result is {self.result!r}", "leave it out")
        if self.rings_ms is not None and self.result == "no answer":
            raise mistake("a phone that nobody answers rings to the end", "leave out rings_ms")
        return self

    def rung(self) -> Rung:
        given = {"rings_ms": self.rings_ms, "talks_ms": self.talks_ms}
        return Rung(self.result, hears=self.hears, **{name: ms for name, ms in given.items() if ms is not None})


class OutForm(Form):
    """A call that the flow places."""

    meets: Meets = Field("person", description="Who or what the call meets; a person follows the script.")
    rings_ms: Milliseconds | None = Field(None, description="How long it rings before that.")
    greeting: Line | None = Field(None, description="What the answering machine says.")
    tone: bool = Field(True, description="Whether the machine gives a tone behind its greeting.")
    variables: dict[str, str] = Field({}, description="What whoever placed the call knows of it.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("greeting", "tone"):
            if name in self.model_fields_set and self.meets != "machine":
                raise mistake(f"{name} is about a machine, and the call meets {self.meets!r}", "leave it out")
        return self

    def call(self) -> CallOut:
        rings = {} if self.rings_ms is None else {"rings_ms": self.rings_ms}
        return CallOut(self.meets, self.variables, greeting=self.greeting, tone=self.tone, **rings)


class Script(Form):
    """One call, from the dialling to the report."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["script"]}, {"required": ["calls_out"]}]})

    name: Line = Field(description="A short name, alone among the flow's.")
    title: OneLine = Field("", description="Who calls, and what happens.")
    flow: str | None = Field(None, description="The flow that answers; by default the one named like this file.")
    from_: str = Field(
        Scenario.caller_number,
        alias="from",
        description="The caller's number, or anonymous; with calls_out, whom the flow calls.",
    )
    to: str = Field(Scenario.called_number, description="The number of ours that the call is with (E.164).")
    calls_out: Annotated[OutForm, BeforeValidator(_meets, json_schema_input_type=OutForm | Meets)] | None = Field(
        None, description="The flow calls, and is not called; what the call meets."
    )
    transfer: dict[
        str,
        Annotated[
            list[RungForm],
            Field(min_length=1),
            BeforeValidator(_result, json_schema_input_type=RungForm | Result | list[RungForm | Result]),
        ],
    ] = Field({}, description="What becomes of whom the phone line rings for the caller, by the target's name.")
    variations: bool = Field(
        True, description="False: the course hangs on when things happen, so play it over the whole path alone."
    )
    at: AwareDatetime | None = Field(
        None, description="When somebody dials, as in 2026-03-01T22:00:00+01:00; by default on a Monday morning."
    )
    settings: dict[Annotated[str, StringConstraints(pattern="^VOICEBOT_[A-Z_]+$")], str | int | float] = Field(
        {}, description="Settings of the server for this call, as VOICEBOT_PRICES."
    )
    script: (
        Annotated[
            list[Annotated[Entry, BeforeValidator(_deed, json_schema_input_type=Entry | Deed)]], Field(min_length=1)
        ]
        | None
    ) = Field(
        None, description="What happens in the call, in order. Only where a call of ours meets no person, nothing does."
    )
    analysis: LookBack | None = Field(
        None, description="What the model makes of the call when it is over, if the flow asks for that."
    )
    expect: Expect = Field(default_factory=Expect, description="What must come of it.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        met = self.calls_out.meets if self.calls_out is not None else "person"
        if met == "person" and self.script is None:
            raise mistake("'script' is missing", "add it")
        if met != "person" and self.script is not None:
            raise mistake(f"nobody follows a script where a call meets {met!r}", "leave it out", key="script")
        if met != "person" and self.transfer:
            raise mistake(f"nobody is put through where a call meets {met!r}", "leave it out", key="transfer")
        return self


SCRIPTS: TypeAdapter[list[Script]] = TypeAdapter(Annotated[list[Script], Field(min_length=1)])


class _WithoutNull(GenerateJsonSchema):
    """A key that may be left out is None in Python; nobody can write so."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        return {key: value for key, value in found.items() if key != "default" or value is not None}


def scenario_schema() -> dict[str, JsonValue]:
    """JSON Schema of a file of scenarios in YAML, for editors to complete and check by."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scenarios of a voicebot flow",
        **SCRIPTS.json_schema(schema_generator=_WithoutNull),
    }
