"""What the API's questions and answers look like. Times are ISO 8601, numbers E.164, money US dollars."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from voicebot.call.wishes import LONGEST_NOTE
from voicebot.flow.ways import WayKind
from voicebot.flow.wording import LONGEST_SAY

from .pages import MOST_ROWS

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Number = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00]*$")]
Variables = dict[
    Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")],
    Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")],
]
MOST_VARIABLES = 30
State = Literal["live", "ended"]
Sending = Literal["pending", "delivered", "dead", "disabled"]


class Asked(BaseModel):
    """Something that is read of a request: what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Page(Asked):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=MOST_ROWS, description=f"How many at most, from 1 to {MOST_ROWS}.")
    cursor: str | None = Field(None, max_length=400, description="`next` of the page before, unchanged.")


# ---- calls ----------------------------------------------------------------------------------------------------------


class CallsQuery(Page):
    """Which calls."""

    state: State | None = Field(None, description="live or ended.")
    flow: Name | None = Field(None, description="The flow's name.")
    outcome: Name | None = Field(None, description="The flow's own word for what came of the call.")
    ended_reason: Name | None = Field(None, description="As in the report.")
    number: Number | None = Field(None, description="Of the caller or the called, as +390612345678 (%2B for the plus).")
    direction: Literal["inbound", "outbound"] | None = Field(None, description="inbound or outbound.")
    since: AwareDatetime | None = Field(None, description="Started then or later; ISO 8601 with a zone.")
    until: AwareDatetime | None = Field(None, description="Started before then; ISO 8601 with a zone.")
    text: Words | None = Field(None, max_length=100, description="Said by anybody, in an ended call; case is ignored.")


class CallRow(BaseModel):
    """A call in a list. What is known at its end is null until then."""

    call_sid: str
    state: State
    flow: str
    flow_version: str
    direction: Literal["inbound", "outbound"]
    caller: str | None
    called: str | None
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None = Field(description="From the answer to the end.")
    outcome: str | None
    ended_reason: str | None
    phase: str | None = Field(description="The last one; of a live call, where the instance asked has it, the present.")
    progress: float | None = Field(description="0 to 1; of a live call as `phase`.")
    turns: int | None
    response_ms: int | None = Field(description="Median wait for an answer.")
    dead_air_s: float | None = Field(description="Waits for answers in sum, and silence in the bot's own speech.")
    cost_usd: float | None = Field(description="Of the model, where prices are known: an estimate.")
    problems: int | None
    recording: str | None = Field(description="kept, cut_short, erased or open; null where there is none.")


class CallPage(BaseModel):
    """Calls, latest first."""

    calls: list[CallRow]
    next: str | None = Field(description="The cursor of the next page; null where there is none.")


class PhaseStay(BaseModel):
    """A stay in a phase."""

    name: str
    cause: str = ""
    entered_at: str = ""
    left_at: str = ""


class Line(BaseModel):
    """Something that was said, as it was heard; or a key."""

    speaker: Literal["caller", "bot"]
    text: str | None = None
    at: str
    interrupted: bool = False
    unheard: str | None = Field(None, description="What the caller did not hear of an interrupted utterance.")
    key: str | None = None
    audio_ms: int | None = Field(None, description="Where it ends in the recording.")


class EvidenceShown(BaseModel):
    """Where a value came from."""

    kind: str
    state: str
    score: float | None = None
    quote: str | None = None
    agreed: str | None = None
    turn: int = 0
    at: str
    audio_ms: int | None = Field(None, description="About where the caller's turn begins in the recording.")


class Turn(BaseModel):
    """How long the caller waited for an answer."""

    turn: int
    response_ms: int
    at_ms: int = Field(description="Since the call began.")


class DeliveryRow(BaseModel):
    """A delivery, without what is delivered."""

    webhook_id: str
    call_sid: str
    url: str = Field(description="Without what may be secret in it.")
    state: Sending
    attempts: int
    due: datetime | None
    created: datetime
    tried: datetime | None
    status: int | None
    reason: str | None


class CallShown(CallRow):
    """All that is known of a call: of an ended one its report, of a live one what the report would say by now."""

    answered_at: str | None
    answered_by: str | None
    variables: dict[str, str]
    observations: dict[str, Any] = Field(description="As the flow types them: see /flows/{name}/schema.")
    observation_status: dict[str, str]
    evidence: dict[str, EvidenceShown | None]
    summary: str | None
    phases: list[PhaseStay]
    transcript: list[Line]
    latency: list[Turn]
    statements: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    judgements: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    transfer: dict[str, Any] | None
    passed_on: list[dict[str, Any]]
    line: dict[str, Any] | None = Field(description="The audio's quality: gaps, level, clipping, underruns, barge-ins.")
    tokens: dict[str, int]
    trouble: list[dict[str, Any]]
    recording_parts: list[dict[str, Any]]
    deliveries: list[DeliveryRow]
    targets: list[str] = Field(description="To whom the caller of a live call can be joined.")


class JournalQuery(Asked):
    """Which part of a journal."""

    after: int = Field(0, ge=0, le=2**53, description="The sequence of the last entry that is known.")
    limit: int = Field(500, ge=1, le=2000, description="How many at most, from 1 to 2000.")


class JournalEntry(BaseModel):
    """An entry. What `body` holds depends on `kind`."""

    sequence: int
    kind: str
    at_ms: int
    wall: datetime
    body: Any


class JournalPage(BaseModel):
    """Entries in order."""

    entries: list[JournalEntry]
    next: int | None = Field(description="`after` of the next page; null where there are no more by now.")


# ---- what is done in a call -----------------------------------------------------------------------------------------


class SayBody(Asked):
    """Words to be spoken."""

    text: Words = Field(max_length=LONGEST_SAY, description=f"At most {LONGEST_SAY} characters, spoken exactly.")


class NoteBody(Asked):
    """Words for the model, which nobody hears."""

    text: Words = Field(max_length=LONGEST_NOTE, description=f"At most {LONGEST_NOTE} characters.")


class TransferBody(Asked):
    """Whom the caller is joined to."""

    target: Name = Field(description="A name of the flow's targets; GET /calls/{call_sid} lists them.")


class HangUpBody(Asked):
    """Nothing is to be said of it."""


class Accepted(BaseModel):
    """The instance that has the call has it in hand. What comes of it stands in the journal."""

    call_sid: str
    accepted: Literal[True] = True


# ---- orders ---------------------------------------------------------------------------------------------------------


class OrderShown(BaseModel):
    """What has come of a call that was ordered."""

    id: str
    state: Literal["placing", "ringing", "answered", "waiting", "ended"]
    tries: int
    call_sid: str | None
    next_try_at: datetime | None
    ended_reason: str | None
    outcome: str | None
    answered_by: str | None


# ---- flows ----------------------------------------------------------------------------------------------------------


class FlowRow(BaseModel):
    """A flow in short."""

    name: str
    version: str
    goal: str
    languages: list[str]
    numbers: list[str]
    phases: list[str]
    initial_phase: str
    observations: list[str]
    targets: list[str]


class FlowFault(BaseModel):
    """A file that holds no flow that can be used; what was loaded before goes on."""

    where: str | None
    problem: str
    mend: str | None


class FlowList(BaseModel):
    """The flows that calls begin with now."""

    flows: list[FlowRow]
    problems: list[FlowFault]


class GraphQuery(Asked):
    """How it is drawn."""

    format: Literal["svg", "mermaid"] = Field("svg", description="svg or mermaid.")


class PhaseDrawn(BaseModel):
    """A phase as it stands in a drawing."""

    name: str
    lines: list[str] = Field(description="What it finds out, says, waits for and does.")
    ends: bool = Field(description="Whether the call ends in it.")


class WayDrawn(BaseModel):
    """A way from one phase to another."""

    start: str | None = Field(description="None if it is open from every phase.")
    end: str
    label: str = Field(description="Its guard or its cause; empty if it always holds.")
    kind: WayKind


class FlowOutline(BaseModel):
    """What a drawing of a flow is made of."""

    flow: str
    version: str
    initial_phase: str
    phases: list[PhaseDrawn]
    ways: list[WayDrawn] = Field(description="In the order in which they are tried.")
    anywhere: list[str] = Field(description="What may happen in every phase, and leads to none.")


class FindingShown(BaseModel):
    """Something that the linter has to say."""

    rule: str
    severity: Literal["error", "warning"]
    where: str | None
    problem: str
    mend: str


class FlowCheck(BaseModel):
    """What the linter has to say, errors first."""

    version: str
    findings: list[FindingShown]


class StatsQuery(Asked):
    """Which calls count."""

    since: AwareDatetime | None = Field(None, description="Started then or later; default: in the last 30 days.")
    until: AwareDatetime | None = Field(None, description="Started before then; ISO 8601 with a zone.")
    version: Name | None = Field(None, description="Only calls of this version of the flow.")


class PhaseStats(BaseModel):
    """A phase in the calls that were."""

    name: str
    entered: int = Field(description="Calls that got there.")
    ended_here: int = Field(description="Calls of which it was the last phase.")
    dropped: int = Field(description="Of these, calls that the caller or a fault ended.")


class VersionStats(BaseModel):
    """A version of the flow in the calls that were."""

    version: str
    calls: int
    first: datetime
    last: datetime


class FlowStats(BaseModel):
    """How far callers get. `whole` is false where there are more calls than are counted: the latest are."""

    flow: str
    since: datetime
    until: datetime
    calls: int = Field(description="Ended ones.")
    live: int
    whole: bool
    phases: list[PhaseStats]
    outcomes: dict[str, int]
    ended_reasons: dict[str, int]
    versions: list[VersionStats]


# ---- deliveries, figures, erasure -----------------------------------------------------------------------------------


class DeliveriesQuery(Page):
    """Which deliveries."""

    state: Sending | None = Field(None, description="pending, delivered, dead or disabled.")
    call_sid: Name | None = Field(None, description="Only of this call.")


class DeliveryPage(BaseModel):
    """Deliveries, latest first."""

    deliveries: list[DeliveryRow]
    next: str | None = Field(description="The cursor of the next page; null where there is none.")


class OverviewQuery(Asked):
    """Which hours."""

    since: AwareDatetime | None = Field(None, alias="from", description="Default: 24 hours before `to`.")
    until: AwareDatetime | None = Field(None, alias="to", description="Default: now. At most 31 days after `from`.")


class Hour(BaseModel):
    """The calls that began in an hour; with none, nothing is known."""

    hour: datetime = Field(description="Its beginning, UTC.")
    calls: int
    live: int
    outcomes: dict[str, int]
    ended_reasons: dict[str, int]
    response_ms: int | None = Field(description="The median of the calls' medians.")
    cost_usd: float | None
    dead_air_s: float
    duration_s: float


class Overview(BaseModel):
    """Figures by the hour, and of all. `whole` is false where there are more calls than are counted."""

    since: datetime
    until: datetime
    whole: bool
    hours: list[Hour]
    total: Hour
    live: int = Field(description="Calls at work now, over all instances.")
    pending: int = Field(description="Deliveries still to be made.")
    dead: int = Field(description="Deliveries given up.")


class ErasureBody(Asked):
    """Whose calls go."""

    number: Number = Field(description="As +390612345678: ended calls from or to it are erased.")


class Erased(BaseModel):
    """What is gone, and what stays because it is still at work."""

    erased: list[str]
    live: list[str]
