"""Scenarios in YAML: the same as in Python, and every mistake told with its line."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from tests.docs.pages import block_with
from tests.end_to_end.reception import shelf
from voicebot.delivery.report_schema import report_schema
from voicebot.engine.entries import EvidenceState
from voicebot.errors import ScenarioError
from voicebot.flow.loader import load_folder
from voicebot.sim.brain import Calls, Output, Says
from voicebot.sim.caller import HangUp, Hear, Interrupt, LeaveMessage, Listen, Press, Say, Step, Wait
from voicebot.sim.clock import run_virtual
from voicebot.sim.matchers import AtLeast, Something
from voicebot.sim.parties import CallOut, Rung
from voicebot.sim.scenario import Exchange, Expected, Scenario, concluded, confirmed, declined, judged_as, noted, rule
from voicebot.sim.scenario_form import REPORT_FIELDS, Entry, Expect, LookBack, Script, State, scenario_schema
from voicebot.sim.scenario_yaml import read_yaml
from voicebot.sim.stage import rehearse
from voicebot.sim.yaml_tree import read_tree

PAGE = "flows/README.md"

HARBOUR = """\
- name: terrace
  title: Two at sunset, and the dog
  to: "+15550100009"
  script:
    - caller: On the third of July, please, for two.
      means: {day: 2027-07-03, people: 2}
      quotes: {day: the third of July, people: for two}
      calls: {free_tables: {day: 2027-07-03, people: 2}}
      bot: With pleasure. I have a quiet one inside, or the terrace, with a view of the whole harbour.
    - caller: The terrace! With our dog, if we may.
      interrupts_after_ms: 3500
      means: {where: terrace, dog: true}
      quotes: {where: The terrace, dog: With our dog}
      bot: You may, both of you. The third of July, two people, one dog, on the terrace. Is that right?
    - caller: Perfect, yes.
      means: {accepted: true}
      quotes: {accepted: "Perfect, yes"}
      bot: We look forward to all three of you. Goodbye!
  expect:
    phases: [wishes, confirm, booked]
    observations: {people: 2, day: 2027-07-03, where: terrace, dog: true}
    outcome: booked
    ended_reason: completed
    interruptions: 1
"""


def on_the_page(marker: str) -> str:
    """The Python of the page about flows that holds these words."""
    return block_with(PAGE, "python", marker)


def read(folder: Path, text: str) -> list[Scenario]:
    (folder / "harbour.yaml").write_text(text, encoding="utf-8")
    return read_yaml(folder / "harbour.yaml")


def script(*entries: str) -> str:
    """A file with one scenario; its entries begin on line 3."""
    return "- name: a\n  script:\n" + "\n".join(f"    - {entry}" for entry in entries) + "\n"


# ---- what can be said -----------------------------------------------------------------------------------------------


def test_harbour_says_the_same_as_in_python(tmp_path: Path) -> None:
    page: dict[str, object] = {}
    exec(compile(on_the_page("terrace = Scenario("), PAGE, "exec", dont_inherit=True), page)  # noqa: S102 - our own page
    assert read(tmp_path, HARBOUR) == page["scenarios"]


def test_harbour_plays(tmp_path: Path) -> None:
    (tmp_path / "harbour.py").write_text(on_the_page("SEATS = "), encoding="utf-8")
    (scenario,) = read(tmp_path, HARBOUR)
    assert run_virtual(rehearse(scenario, load_folder(tmp_path))).problems == ()


@pytest.mark.parametrize(
    ("entry", "step"),
    [
        ("caller: Yes", Say("Yes")),
        ("caller: |\n        Well,\n        yes", Say("Well, yes")),
        ("{caller: Hello, timeout_ms: 500}", Say("Hello", 500)),
        ("{caller: Wait, interrupts_after_ms: 1200}", Interrupt("Wait", 1200)),
        ("{caller: Wait, interrupts_after_ms: 0, timeout_ms: 500}", Interrupt("Wait", 0, 500)),
        ("presses: 12", Press("12")),
        ("presses: 0042", Press("0042")),
        ("presses: '*1#'", Press("*1#")),
        ("{presses: 5, at_once: true}", Press("5", after_bot=False)),
        ("leaves_message: Call me back.", LeaveMessage("Call me back.")),
        ("waits_ms: 9000", Wait(9000)),
        ("hang up", HangUp()),
        ("does: hang up", HangUp()),
        ("hear", Hear()),
        ("listen", Listen()),
        ("{does: listen, timeout_ms: 60000}", Listen(60_000)),
    ],
)
def test_caller_can_do_everything(tmp_path: Path, entry: str, step: Step) -> None:
    (scenario,) = read(tmp_path, script(entry))
    assert scenario.exchanges == (Exchange(step),)


LINE = "For two, yes."
DOES_EVERYTHING = "{means: {a: 1}, confirms: b, declines: c, judges: {d: false}, asks_rule: e, calls: f, bot: g}"


@pytest.mark.parametrize(
    ("entry", "replies"),
    [
        ("bot: Good day", ((Says("Good day"),),)),
        ("calls: profile", ((Calls("profile"),),)),
        ("calls: {find: {day: 2027-07-03}, look: {}}", ((Calls("find", {"day": "2027-07-03"}), Calls("look")),)),
        ("calls: [look, {find: {day: 5}}, look]", ((Calls("look"), Calls("find", {"day": 5}), Calls("look")),)),
        ("calls: {record: '{broken'}", ((Calls("record", "{broken"),),)),
        ("{calls: profile, bot: So}", ((Calls("profile"),), (Says("So"),))),
        (
            "{bot: Goodbye, then_calls: {end_call: {reason: goal_reached}}}",
            ((Says("Goodbye"), Calls("end_call", {"reason": "goal_reached"})),),
        ),
        ("means: {people: 2}", ((noted(people=(2, LINE)),),)),
        (
            "{means: {people: 2, names: [Ada, Bo]}, quotes: {people: For two}}",
            ((noted(people=(2, "For two"), names=(["Ada", "Bo"], LINE)),),),
        ),
        ("means: {order: {value: 2, quote: x}}", ((noted(order=({"value": 2, "quote": "x"}, LINE)),),)),
        ("confirms: address", ((confirmed(address=LINE),),)),
        ("declines: [occasion, phone]", ((declined(occasion=LINE, phone=LINE),),)),
        ("{judges: {all is well: true}, quotes: {all is well: yes}}", ((judged_as("all is well", True, "yes"),),)),
        ("asks_rule: human", ((rule("human", LINE),),)),
        (
            DOES_EVERYTHING,
            (
                (
                    noted(a=(1, LINE)),
                    confirmed(b=LINE),
                    declined(c=LINE),
                    judged_as("d", False, LINE),
                    rule("e", LINE),
                    Calls("f"),
                ),
                (Says("g"),),
            ),
        ),
        (
            "responses: [[{calls: find}, {says: Let me look}], [{says: Found}]]",
            ((Calls("find"), Says("Let me look")), (Says("Found"),)),
        ),
    ],
)
def test_model_can_do_everything(tmp_path: Path, entry: str, replies: tuple[tuple[Output, ...], ...]) -> None:
    (scenario,) = read(tmp_path, script(f"caller: {LINE}", entry))
    assert scenario.exchanges == (Exchange(Say(LINE), replies),)


def test_entries_without_a_caller_go_on_with_the_exchange(tmp_path: Path) -> None:
    (scenario,) = read(
        tmp_path,
        script(
            "bot: Good day!",
            "caller: Hello\n      calls: profile",
            "calls: free_tables",
            "bot: Welcome",
            "waits_ms: 9000",
            "bot: Are you there?",
            "hang up",
        ),
    )
    assert scenario.exchanges == (
        Exchange(None, ((Says("Good day!"),),)),
        Exchange(Say("Hello"), ((Calls("profile"),), (Calls("free_tables"),), (Says("Welcome"),))),
        Exchange(Wait(9000), ((Says("Are you there?"),),)),
        Exchange(HangUp()),
    )


def test_everything_can_be_expected(tmp_path: Path) -> None:
    expect = (
        "  expect: {phases: [a], observations: {total: '26.00', day: 2027-07-03, note: null}, outcome: done,"
        " ended_reason: completed, interruptions: 0, statements: [The total is 26.00 euro.], tools: [free_tables],"
        " evidence: {day: confirmed}, silences: 1, max_response_ms: 900, analysis: done, summary: A table.,"
        " filled_after: [note]}\n"
    )
    (scenario,) = read(tmp_path, script("hang up") + expect)
    assert scenario.expected == Expected(
        phases=("a",),
        observations={"total": "26.00", "day": "2027-07-03", "note": None},
        outcome="done",
        ended_reason="completed",
        interruptions=0,
        statements=("The total is 26.00 euro.",),
        evidence={"day": "confirmed"},
        tools=("free_tables",),
        silences=1,
        max_response_ms=900,
        analysis="done",
        summary="A table.",
        filled_after=("note",),
    )
    assert Expect.model_fields.keys() == Expected.__dataclass_fields__.keys()


def test_states_of_evidence_are_the_engines() -> None:
    assert get_args(State) == get_args(EvidenceState)


def test_analysis_can_be_written(tmp_path: Path) -> None:
    given = "  analysis: {summary: A table for two., means: {people: 2}, quotes: {people: for two}}\n"
    (scenario,) = read(tmp_path, script("hang up") + given)
    assert scenario.analysis == concluded("A table for two.", people=(2, "for two"))
    (scenario,) = read(tmp_path, script("hang up") + "  analysis: {summary: Nothing.}\n")
    assert scenario.analysis == concluded("Nothing.")


def test_numbers_and_flow_have_defaults(tmp_path: Path) -> None:
    given = "- {name: b, flow: other, from: anonymous, to: +15550100009, title: T, script: [listen]}\n"
    short, long = read(tmp_path, script("listen") + given)
    assert short == Scenario("a", "harbour", (Exchange(Listen()),), Expected())
    assert long == Scenario(
        "b", "other", short.exchanges, Expected(), "anonymous", called_number="+15550100009", title="T"
    )
    assert [one.place for one in (short, long)] == [f"{tmp_path / 'harbour.yaml'}:{line}" for line in (1, 4)]


WHOLE_TELEPHONE = """
- name: a
  calls_out: {variables: {day: 2027-07-03}, rings_ms: 500}
  transfer:
    desk: [busy, no answer, {rings_ms: 800, talks_ms: 4000, hears: A call from 1.}]
    "+15550199": failed
  script: [listen]
  expect:
    report:
      duration_s: {$at_least: 3}
      transfer: {result: completed, at: $any, quote: null}
- {name: b, calls_out: {meets: machine, greeting: Nobody is here., tone: false}}
- {name: c, calls_out: busy}
- {name: d, variations: false, script: [listen]}
"""


def test_whole_telephone_is_read(tmp_path: Path) -> None:
    talks, machine, busy, fixed = read(tmp_path, WHOLE_TELEPHONE)
    assert talks.calls_out == CallOut(variables={"day": "2027-07-03"}, rings_ms=500)
    assert talks.transfer == {
        "desk": (Rung("busy"), Rung("no answer"), Rung(rings_ms=800, talks_ms=4000, hears="A call from 1.")),
        "+15550199": (Rung("failed"),),
    }
    assert talks.expected.report == {
        "duration_s": AtLeast(3),
        "transfer": {"result": "completed", "at": Something(), "quote": None},
    }
    assert machine.calls_out == CallOut("machine", greeting="Nobody is here.", tone=False)
    assert (busy.calls_out, busy.exchanges) == (CallOut("busy"), ())
    assert [one.needs_whole_call for one in (talks, machine, busy, fixed)] == [True] * 4
    assert [one.talks for one in (talks, machine, busy, fixed)] == [True, False, False, True]
    assert not read(tmp_path, "- {name: e, calls_out: person, script: [listen]}")[0].needs_whole_call


def test_report_fields_are_those_of_a_report() -> None:
    schema = report_schema("visit", shelf.get("visit").flow)
    assert set(REPORT_FIELDS) == set(schema["properties"]["data"]["properties"])


# ---- mistakes -------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("", "1: there is no list of scenarios (begin each with `- name: …`)"),
    ("[]", "1: there is no list of scenarios (begin each with `- name: …`)"),
    ("name: a", "1: there is no list of scenarios (begin each with `- name: …`)"),
    ("- name: a\n  script: []", "2: 'script' is empty (fill it, or leave it out)"),
    ("- title: a\n  script: [listen]", "1: 'name' is missing (add it)"),
    ("- name: 5\n  script: [listen]", "1: 'name' must be text (put it in quotation marks)"),
    ("- name: a\n  scirpt: []\n  script: [listen]", "2: there is no 'scirpt' here (did you mean 'script'?)"),
    (
        "- name: a\n  zzz: 1\n  script: [listen]",
        "2: there is no 'zzz' here (there are: name, title, flow, from, to, calls_out, transfer, variations, at, "
        "settings, script, analysis, expect)",
    ),
    (script("listen") + "  expect:\n    phase: [a]", "5: there is no 'phase' here (did you mean 'phases'?)"),
    (script("listen") + "  expect:\n    silences: -1", "5: 'silences': input should be greater than or equal to 0"),
    (script("listen") + "  expect: {evidence: {day: sure}}", "4: 'day': input should be 'provisional', 'confirmed', "),
    (script("listen", "hangs up"), "4: 'does': input should be 'hang up', 'hear' or 'listen'"),
    (script("presses: #1"), "3: the text ends before its '#' (put it in quotation marks)"),
    (script("presses:"), "3: 'presses' says nothing (write something behind it; "),
    (script("bot: Hi\n      caller:"), "4: 'caller' says nothing (write something behind it; "),
    (script("listen") + "  expect: {outcome: }", "4: 'outcome' says nothing (write something behind it; "),
    (script("quotes: {}"), "3: nothing happens in this entry (give it a caller or a bot)"),
    (script("{}"), "3: nothing happens in this entry (give it a caller or a bot)"),
    (script("caller: ''"), "3: 'caller' is empty (fill it, or leave it out)"),
    (script("caller: 5"), "3: 'caller' must be text (put it in quotation marks)"),
    (script("presses: 12x"), "3: '12x' are no keys of a telephone (use 0-9 * # A-D)"),
    (script("presses: true"), "3: 'presses' must be text (put it in quotation marks)"),
    (
        script("caller: Hi\n      waits_ms: 3"),
        "3: the caller does two things at once, caller and waits_ms (make them two entries)",
    ),
    (script("interrupts_after_ms: 3"), "3: interrupts_after_ms needs words (say them in `caller`)"),
    (script("caller: Hi\n      interrupts_after_ms: 3s"), "4: 'interrupts_after_ms': input should be a valid number, "),
    (script("{caller: Hi, at_once: true}"), "3: at_once is about keys (add `presses`, or leave it out)"),
    (script("{waits_ms: 3, timeout_ms: 3}"), "3: timeout_ms is about a caller who waits for the bot (leave it out)"),
    (script("{bot: Hi, timeout_ms: 3}"), "3: timeout_ms is about a caller who waits for the bot (leave it out)"),
    (script("{then_calls: a}"), "3: then_calls stands behind words of the bot, and there are none (use `calls`)"),
    (script("calls: [a, 5]"), "3: this calls no function (write its name, or {name: {argument: value}})"),
    (script("calls: {a: }"), "3: 'a' says nothing (write something behind it; "),
    (
        script("caller: Hi\n      means: {where: {street: Via Roma, 5, floor: 1}}"),
        "4: '5' says nothing (write something ",
    ),
    (script("calls: {a: [1]}"), "3: this calls no function (write its name, or {name: {argument: value}})"),
    (script("responses: [[{}]]"), "3: this is not one output (write `says: …` or `calls: …` with one function)"),
    (script("bot: Hi\n      means: {a: 1}"), "3: the caller has said nothing yet that says 'a' (add it to `quotes`)"),
    (
        script("caller: Yes, go on\n      means: {a: 1}\n      quotes: {a: Yes, go on}"),
        "5: 'go on' says nothing (write something behind it; inside of braces, text that holds a comma needs ",
    ),
    (
        script("caller: Yes\n      means: {a: 1}\n      quotes: {b: Yes}"),
        "3: quotes speaks of 'b', and nothing else here does (add it to `means`)",
    ),
    (script("hang up") + "  analysis: {}", "4: 'summary' is missing (add it)"),
    (
        script("hang up") + "  analysis: {sumary: x, summary: y}",
        "4: there is no 'sumary' here (did you mean 'summary'?)",
    ),
    (
        script("hang up") + "  analysis: {summary: x, means: {a: 1}}",
        "4: nothing is quoted for 'a' (add the caller's words to `quotes`)",
    ),
    (
        script("hang up") + "  analysis: {summary: x, quotes: {a: so}}",
        "4: quotes speaks of 'a', and nothing else here does (add it to `means`)",
    ),
    (
        "- name: a\n  calls_out: machine\n  script: [listen]",
        "3: nobody follows a script where a call meets 'machine' (",
    ),
    ("- name: a\n  calls_out: person", "1: 'script' is missing (add it)"),
    ("- name: a\n  calls_out: engaged", "2: 'meets': input should be 'person', 'machine', 'busy', 'no answer' or 'f"),
    (
        "- name: a\n  calls_out: {meets: busy, greeting: Hi}",
        "2: greeting is about a machine, and the call meets 'busy' (",
    ),
    ("- name: a\n  calls_out:\n    variable: {}", "3: there is no 'variable' here (did you mean 'variables'?)"),
    ("- name: a\n  calls_out: busy\n  transfer: {desk: busy}", "3: nobody is put through where a call meets 'busy' ("),
    (
        script("listen") + "  transfer: {desk: [busy, engaged]}",
        "4: 'result': input should be 'answered', 'busy', 'no a",
    ),
    (
        script("listen") + "  transfer:\n    desk: {result: busy, talks_ms: 5}",
        "5: talks_ms needs somebody who answers, and ",
    ),
    (
        script("listen") + "  transfer: {desk: {result: no answer, rings_ms: 5}}",
        "4: a phone that nobody answers rings to t",
    ),
    (script("listen") + "  transfer: {desk: {talk_ms: 5}}", "4: there is no 'talk_ms' here (did you mean 'talks_ms'?)"),
    (script("listen") + "  transfer: {desk: []}", "4: 'desk' is empty (fill it, or leave it out)"),
    (
        script("listen") + "  expect:\n    report:\n      transfr: {}",
        "6: a report has no 'transfr' (did you mean 'transfer'?)",
    ),
    (
        script("listen") + "  expect:\n    report:\n      transfer:\n        talk_s: {$atleast: 3}",
        "7: '$atleast' is no matcher (there are: $any, $at_least, $at_most, $one_of, $holds)",
    ),
    (
        script("listen") + "  expect:\n    report:\n      duration_s: {$at_least: ten}",
        "6: '$at_least' has nothing to compare with (give it a number)",
    ),
    (script("caller: Two things: a pizza"), "3: mapping values are not allowed here (put the text in quotes: "),
    (script("caller: Room #5"), "3: the text ends before its '#' (put it in quotation marks)"),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistake_is_told_with_line_and_advice(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        read(tmp_path, text)
    (line,) = str(raised.value).splitlines()
    assert line.removeprefix(f"{tmp_path / 'harbour.yaml'}:").startswith(told)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as raised:
        read(tmp_path, script("hangs up", "{}") + "  titel: x\n- name: b\n")
    assert [line.split(":")[1] for line in str(raised.value).splitlines()] == ["3", "4", "5", "6"]


def test_unreadable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "harbour.yaml").write_bytes(b"- name: \xff")
    with pytest.raises(ScenarioError, match="is no text in UTF-8"):
        read_yaml(tmp_path / "harbour.yaml")
    with pytest.raises(ScenarioError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "nobody.yaml")


# ---- what editors check by ------------------------------------------------------------------------------------------


def test_schema_agrees_with_the_reader() -> None:
    schema = scenario_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    assert judge.is_valid(read_tree(HARBOUR).values)
    whole = script("hang up", "calls: [a, {b: {c: 1}}]", "presses: 12", "confirms: a", "{does: listen, timeout_ms: 5}")
    assert judge.is_valid(read_tree(whole).values)
    for text in (
        "[]",
        "- name: a",
        script("hangs up"),
        script("caler: Hi"),
        script("presses: 1x"),
        script("calls: [5]"),
    ):
        assert not judge.is_valid(read_tree(text).values), text


def test_schema_explains_every_key() -> None:
    for form in (Script, Entry, Expect, LookBack):
        assert [name for name, key in form.model_fields.items() if not key.description] == []
