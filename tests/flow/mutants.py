"""Broken flows, each a small change to a clean one, and the rules that must find it: those, and no others.

The clean flows stand in `clean_flows/`. A mutant replaces pieces of their text, each of which occurs there once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CLEAN = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "clean_flows").glob("*.py"))
}


@dataclass(frozen=True)
class Mutant:
    """A change to a clean flow. `also` are the rules that cannot but fire with `rule`."""

    rule: str
    what: str
    base: str
    changes: tuple[tuple[str, str], ...]
    also: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The flow's text with the changes in it."""
        text = CLEAN[self.base]
        for old, new in self.changes:
            assert text.count(old) == 1, f"{self.what}: {old!r} occurs {text.count(old)} times"
            text = text.replace(old, new)
        return text


def _clinic(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "clinic", changes, frozenset(also.split()))


def _hotline(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "hotline", changes, frozenset(also.split()))


def _parcels(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "parcels", changes, frozenset(also.split()))


def _switchboard(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "switchboard", changes, frozenset(also.split()))


def _kiosk(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "kiosk", changes, frozenset(also.split()))


def _guesthouse(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "guesthouse", changes, frozenset(also.split()))


def _payments(rule: str, what: str, *changes: tuple[str, str], also: str = "") -> Mutant:
    return Mutant(rule, what, "payments", changes, frozenset(also.split()))


_PARCELS_LIMITS = ('    limits=Limits(phase=PhaseLimits(turns=8, then="counter")),\n', "")

NAMES = (
    _clinic("F000", "a parenthesis too many", ("flow = Flow(", "flow = Flow((")),
    _clinic("F000", "no goal", ('    goal="Give the caller an appointment.",\n', "")),
    _clinic(
        "F000",
        "a field without ask",
        ('note: str = ask("what the dentist should know", optional=True)', 'note: str = ""'),
    ),
    _clinic("F000", "`or` between expressions", ("it.accepted.no | judged(", "it.accepted.no or judged(")),
    _clinic("F000", "a name that is not imported", ("    judged,\n", "")),
    _clinic("F000", "the file ends the process", ("flow = Flow(", "raise SystemExit(3)\nflow = Flow(")),
    _clinic("F000", "no flow in the file", ("flow = Flow(", "clinic = Flow(")),
    _clinic("F000", "an exact limit without a time", ('duration="30s", exact=True', "turns=3, exact=True")),
    _kiosk("F000", "a guard without a comparison", ("when=it.accepted.yes), To", "when=it.accepted), To")),
    _clinic(
        "F001",
        "two phases of one name",
        ('Phase("not_booked",', 'Phase("at_once",'),
        ('), To("not_booked")]', '), To("bye")]'),
    ),
    _clinic("F002", "a transition to nowhere", ('To("confirm")', 'To("confrim")')),
    _clinic("F002", "a jump to nowhere", ('may_jump=["reception"]', 'may_jump=["reseption"]')),
    _clinic("F002", "the initial phase does not exist", ('initial_phase="reception"', 'initial_phase="welcome"')),
    _clinic(
        "F002",
        "stuck phases lead to nowhere",
        ('PhaseLimits(turns=12, then="call_back")', 'PhaseLimits(turns=12, then="callback")'),
    ),
    _clinic(
        "F002",
        "a stuck phase leads to nowhere",
        ('PhaseLimits(duration="3m", then="call_back")', 'PhaseLimits(duration="3m", then="bey")'),
    ),
    _clinic(
        "F002",
        "a failed commit leads to nowhere",
        ('book.once(on_failure="call_back")', 'book.once(on_failure="sorry")'),
    ),
    _clinic(
        "F002",
        "a failed tool leads to nowhere",
        ('dentist.once(on_failure="call_back")', 'dentist.once(on_failure="sorry")'),
    ),
    _clinic(
        "F002", "a rule leads to nowhere", ('when=Key("0"), then=To("call_back")', 'when=Key("0"), then=To("operator")')
    ),
    _hotline("F002", "silence leads to nowhere", ('After("20s", To("bye"))', 'After("20s", To("goodbye"))')),
    _clinic("F003", "a guard over nothing", ("when=it.pain >= 8)", "when=it.pian >= 8)")),
    _clinic("F003", "a phase collects nothing", ("[it.insured, it.card]", "[it.insured, it.cart]")),
    _clinic("F003", "needed_if over nothing", ("needed_if=it.insured.yes", "needed_if=it.ensured.yes")),
    _clinic("F003", "an outcome over nothing", ('"declined": it.accepted.no', '"declined": it.acepted.no')),
    _parcels("F003", "an answer about nothing", ('weighed", about=it.price)', 'weighed", about=it.prize)')),
    _clinic("F003", "a computed field reads nothing", ("def fee_of(reason: str,", "def fee_of(cause: str,")),
    _clinic("F003", "a guard in Python reads nothing", ("def is_far_ahead(day: date)", "def is_far_ahead(date: date)")),
    _clinic(
        "F003",
        "a commit takes nothing",
        ("name: str, day: date, at: time, fee: Decimal", "who: str, day: date, at: time, fee: Decimal"),
    ),
    _clinic(
        "F003",
        "a rule's guard over nothing",
        ('when=Key("0"), then=To("call_back")', 'when=Key("0"), then=To("call_back", when=it.calm.yes)'),
    ),
    _clinic(
        "F009",
        "two tools of one name",
        ('@handler("end")', 'object.__setattr__(free_hours, "name", "opening_hours")\n\n\n@handler("end")'),
    ),
    _clinic(
        "F009",
        "a tool with a name of the engine's",
        ('@handler("end")', 'object.__setattr__(free_hours, "name", "record")\n\n\n@handler("end")'),
    ),
    _clinic("F009", "one tool twice in a phase", ("tools=[free_hours]", "tools=[free_hours, free_hours]")),
    _clinic("F010", "no such zone", ('timezone="Europe/Rome"', 'timezone="Europe/Trastevere"')),
    _clinic("F010", "a zone that is a folder", ('timezone="Europe/Rome"', 'timezone="Europe"')),
    _clinic(
        "F012",
        "two checks of one name",
        ('confirm="read back")', 'confirm="read back", check=lambda name: name)'),
        ("check=not_a_sunday", "check=lambda day: day"),
    ),
    _clinic(
        "F012",
        "a handler named like a tool",
        ('@handler("end")', 'object.__setattr__(free_hours, "name", "count")\n\n\n@handler("end")'),
    ),
    _clinic(
        "F012",
        "a guard named like a check",
        ("class Visit(", 'is_far_ahead.__name__ = "not_a_sunday"\n\n\nclass Visit('),
    ),
    _clinic("F029", "two rules of one name", ('Rule("stop"', 'Rule("human"')),
    _clinic("F029", "two rules for one key", ('when=Key("*")', 'when=Key("0")')),
    _clinic(
        "F029",
        "two rules for the same words",
        ('"the caller asks for medical advice"', '"the caller asks for a human being"'),
    ),
)

ROADS = (
    _clinic("F004", "nothing leads to an end", ('To("not_booked")]', 'To("bye")]')),
    _clinic(
        "F004",
        "nothing leads to another end",
        ('To("at_once", when=it.pain >= 8)', 'To("call_back", when=it.pain >= 8)'),
    ),
    _clinic(
        "F005",
        "a phase leads nowhere",
        ('PhaseLimits(duration="30s", exact=True, then="bye")', 'PhaseLimits(turns=3, then="bye")'),
        ('            transitions=[To("bye")],\n', ""),
    ),
    _hotline("F005", "round and round", ('To("bye", when=it.more.no)', 'To("help", when=it.more.no)')),
    _clinic("F006", "an end that collects", ('"Say goodbye.", end', '"Say goodbye.", observations=[it.note], end')),
    _clinic(
        "F006", "an end that leads on", ('"Say goodbye.", end', '"Say goodbye.", transitions=[To("at_once")], end')
    ),
    _clinic(
        "F006",
        "an end that must say something",
        ('"Say goodbye.", end', '"Say goodbye.", must_say=[Say("Bye.", name="bye")], end'),
    ),
    _clinic("F006", "an end with a tool", ('"Say goodbye.", end', '"Say goodbye.", tools=[free_hours], end')),
    _clinic(
        "F006",
        "an end with a limit",
        ('"Say goodbye.", end', '"Say goodbye.", limits=PhaseLimits(turns=2, then="at_once"), end'),
    ),
    _clinic(
        "F006",
        "an end with a commit",
        ('"Say goodbye.", end', '"Say goodbye.", commit=book.once(on_failure="call_back"), end'),
    ),
    _clinic("F024", "silence is only asked about", (', After("40s", HangUp())', "")),
    _clinic(
        "F024",
        "silence is not noticed",
        (
            'silence=[After("8s", AskAgain("Are you still there?")), After("20s", AskAgain()), After("40s", HangUp())]',
            "silence=[]",
        ),
    ),
    _hotline("F024", "silence leads to where it goes on", ('After("20s", To("bye"))', 'After("20s", To("more"))')),
    _kiosk(
        "F025", "nobody gets out who wants none", ('    limits=Limits(phase=PhaseLimits(turns=10, then="pity")),\n', "")
    ),
    _parcels("F025", "a price that may not be told is waited for", _PARCELS_LIMITS),
    _parcels(
        "F025",
        "the way hangs on a price that may not be there",
        _PARCELS_LIMITS,
        ('            must_say=[Say("That is {price} euro.", name="price")],\n', ""),
        ('transitions=[To("bye")]', 'transitions=[To("counter", when=it.price > 20), To("bye", when=it.price <= 20)]'),
    ),
    _parcels(
        "F025",
        "the phase goes on until there is a price",
        _PARCELS_LIMITS,
        ('must_say=[Say("That is {price} euro.", name="price")]', "success_criteria=[it.price.filled]"),
    ),
    _clinic("F025", "nobody gets out", ('        phase=PhaseLimits(turns=12, then="call_back"),\n', "")),
    _clinic(
        "F026",
        "no way to a human being",
        (
            'Rule("human", when="the caller asks for a human being"',
            'Rule("other", when="the caller wants something else"',
        ),
        ('Rule("operator"', 'Rule("zero"'),
    ),
    _clinic(
        "F026",
        "no rules at all",
        ('        Rule("human", when="the caller asks for a human being", then=To("call_back")),\n', ""),
        ('        Rule("operator", when=Key("0"), then=To("call_back")),\n', ""),
    ),
    _clinic("F027", "a transition to itself", ('To("call_back", when=is_far_ahead)', 'To("date", when=is_far_ahead)')),
    _clinic(
        "F027",
        "stuck in itself",
        ('PhaseLimits(duration="3m", then="call_back")', 'PhaseLimits(duration="3m", then="emergency")'),
    ),
    _clinic(
        "F027", "its failure leads to itself", ('book.once(on_failure="call_back")', 'book.once(on_failure="booking")')
    ),
    _clinic("F028", "a phase longer than the call", ('duration="3m"', 'duration="15m"')),
    _clinic(
        "F028", "every phase longer than the call", ("PhaseLimits(turns=12,", 'PhaseLimits(turns=12, duration="10m",')
    ),
    _hotline("F028", "a guard on silence", ('After("20s", To("bye"))', 'After("20s", To("bye", when=it.more.no))')),
)

FIELDS = (
    _clinic("F008", "nobody asks for the card", ("[it.insured, it.card]", "[it.insured]")),
    _kiosk("F008", "nobody asks for the flower", ("[it.flower, it.count,", "[it.count,")),
    _clinic("F015", "a choice that there is not", ('reason == "emergency"), To', 'reason == "emergncy"), To')),
    _clinic("F015", "a number against a text", ("when=it.pain >= 8)", 'when=it.pain >= "8")')),
    _clinic("F015", "yes as a text", ('"declined": it.accepted.no', '"declined": it.accepted == "no"')),
    _clinic("F015", "a day that is none", ("when=is_far_ahead", 'when=it.day == "tomorrow"')),
    _clinic("F015", "needed_if of another type", ("needed_if=it.insured.yes", "needed_if=it.insured == 2")),
    _clinic("F015", "a constant that JSON cannot hold", ("when=is_far_ahead", "when=it.day == object()")),
    _kiosk("F015", "an enum's value misspelt", ('it.paper == "plain"', 'it.paper == "plane"')),
    _kiosk("F015", "a text for a count", ("when=it.count > 100", 'when=it.count == "many"')),
    _clinic(
        "F022",
        "two that need each other",
        ('ask("whether they have an insurance")', 'ask("whether they have an insurance", needed_if=it.card.filled)'),
    ),
    _parcels("F022", "an answer about itself", ('weighed", about=it.price)', 'weighed", about=it.agreed)')),
    _clinic("F022", "one that needs itself", ('needed_if=it.reason == "emergency"', "needed_if=it.pain > 3")),
    _clinic(
        "F022",
        "computed from itself",
        ("def fee_of(reason: str, insured: bool)", "def fee_of(reason: str, insured: bool, fee: Decimal)"),
    ),
    _clinic(
        "F023",
        "a yes that is read back",
        ('appointment and its price")', 'appointment and its price", confirm="read back")'),
    ),
    _parcels("F023", "an answer about what comes later", ('weighed", about=it.price)', 'weighed", about=it.name)')),
    _clinic("F023", "a computed field is listed", ("[it.day, it.at, it.note]", "[it.day, it.at, it.note, it.fee]")),
    _clinic(
        "F023",
        "a caller's number that is none",
        ("needed_if=it.insured.yes)", 'needed_if=it.insured.yes, default_from="caller")'),
    ),
)

WORDS = (
    _clinic("F011", "no instructions", ('instructions="Find a day and an hour."', 'instructions=" "')),
    _clinic("F011", "an end without a word", ('instructions="Say that nothing is booked. Say goodbye.", ', "")),
    _clinic("F013", "a statement quotes nothing", ("{name}, on {day}", "{nmae}, on {day}")),
    _clinic("F013", "heard what nobody says", ('heard("price")', 'heard("prize")')),
    _clinic("F013", "two statements of one name", ('name="terms"', 'name="price"')),
    _clinic("F013", "a format in a statement", ("{fee} euros", "{fee:.2f} euros")),
    _clinic("F013", "a statement without words", ('"You may cancel until the day before."', '"…"')),
    _clinic(
        "F030",
        "a place in the opening",
        ('"Dental clinic, good day. This call is recorded."', '"Good day, {name}. This call is recorded."'),
    ),
    _clinic(
        "F030", "an apology without words", ('"I am sorry, something of ours has failed. Please call again."', '"..."')
    ),
    _clinic(
        "F030", "a place in a question", ('AskAgain("Are you still there?")', 'AskAgain("Are you there, {name}?")')
    ),
    _clinic("F030", "a place in a filler", ('filler="I am writing it down."', 'filler="I am writing {day} down."')),
    _clinic(
        "F030", "a filler that never ends", ('filler="I am writing it down."', 'filler="I am writing it down. " * 30')
    ),
    _clinic(
        "F030",
        "a place in a rule's words",
        ('"I may not give advice, the dentist will."', '"I may not give advice, {name}."'),
    ),
    _clinic("F031", "much to read", ('Parking is in the yard."', 'Parking is in the yard." * 250')),
    _clinic(
        "F031",
        "long instructions",
        ('instructions="Find a day and an hour."', 'instructions="Find a day and an hour. " * 700'),
    ),
    _clinic("F032", "too much to read", ('Parking is in the yard."', 'Parking is in the yard." * 900')),
)

GUARDS = (
    _clinic("F007", "a number between", ("when=it.pain < 8)", "when=it.pain < 7)")),
    _clinic(
        "F007",
        "yes alone",
        (
            'To("booking", when=it.accepted.yes), To("not_booked")',
            'To("booking", when=it.accepted.yes), To("not_booked", when=it.accepted.no & it.insured.yes)',
        ),
    ),
    _clinic(
        "F007",
        "yes and no of what may stay open",
        (
            'To("call_back", when=is_far_ahead), To("confirm")',
            'To("call_back", when=it.note == "x"), To("confirm", when=it.note != "x")',
        ),
    ),
    _clinic(
        "F007",
        "a function that may say no",
        (
            'To("call_back", when=is_far_ahead), To("confirm")',
            'To("confirm", when=is_far_ahead), To("call_back", when=it.at > time(20))',
        ),
    ),
    _clinic(
        "F007",
        "a verdict that may be no",
        (
            'To("booking", when=it.accepted.yes), To("not_booked")',
            'To("booking", when=judged("they agree")), To("not_booked", when=it.accepted.no)',
        ),
    ),
    _kiosk("F007", "papers that nobody thought of", (' | (it.paper == "plain")', "")),
    _hotline(
        "F007",
        "a question that may stay open",
        ('ask("whether they have another question")', 'ask("whether they have another question", optional=True)'),
    ),
    _clinic(
        "F014",
        "the way without a guard first",
        (
            'To("emergency", when=it.reason == "emergency"), To("insurance")',
            'To("insurance"), To("emergency", when=it.reason == "emergency")',
        ),
    ),
    _clinic(
        "F014",
        "the wider guard first",
        ('To("at_once", when=it.pain >= 8),', 'To("at_once", when=it.pain >= 3), To("call_back", when=it.pain >= 8),'),
    ),
    _clinic(
        "F014",
        "otherwise in the middle",
        (
            'To("call_back", when=is_far_ahead), To("confirm")',
            'To("confirm", when=otherwise), To("call_back", when=is_far_ahead)',
        ),
    ),
    _clinic(
        "F014",
        "the same function twice",
        ('To("call_back", when=is_far_ahead),', 'To("call_back", when=is_far_ahead), To("bye", when=is_far_ahead),'),
    ),
    _kiosk(
        "F014",
        "an outcome after otherwise",
        (
            '{"ordered": it.accepted.yes, "incomplete": otherwise}',
            '{"incomplete": otherwise, "ordered": it.accepted.yes}',
        ),
    ),
    _kiosk(
        "F014",
        "an outcome that another covers",
        ('{"ordered": it.accepted.yes,', '{"answered": it.accepted.filled, "ordered": it.accepted.yes,'),
    ),
    _clinic(
        "F016",
        "more than there is",
        (
            'To("at_once", when=it.pain >= 8), To("insurance", when=it.pain < 8)',
            'To("at_once", when=it.pain > 10), To("insurance")',
        ),
    ),
    _clinic("F016", "what is asked for later", ("when=is_far_ahead", "when=it.accepted.yes")),
    _clinic(
        "F016",
        "against the criterion",
        ('transitions=[To("survey")]', 'transitions=[To("not_booked", when=it.accepted.no), To("survey")]'),
    ),
    _clinic(
        "F016",
        "yes and no at once",
        (
            'To("booking", when=it.accepted.yes), To("not_booked")',
            'To("booking", when=it.accepted.yes), To("bye", when=it.accepted.yes & it.accepted.no), To("not_booked")',
        ),
    ),
    _clinic("F016", "heard what is said later", ("when=is_far_ahead", 'when=heard("terms")')),
    _clinic("F016", "never asked for", ("needed_if=it.insured.yes", "needed_if=it.accepted.yes")),
    _clinic(
        "F016",
        "a rule that never holds",
        ('when=Key("0"), then=To("call_back")', 'when=Key("0"), then=To("call_back", when=it.pain > 10)'),
    ),
    _clinic("F016", "an outcome that never holds", ('"emergency": it.pain >= 8', '"emergency": it.pain > 10')),
    _kiosk(
        "F034",
        "back to where all is answered",
        ('To("pity", when=it.accepted.no)', 'To("order", when=it.accepted.no & (it.count <= 100)), To("pity")'),
    ),
)

ENDS = (
    _clinic("F017", "waits for what comes later", ("~(it.at < time(9))", "it.accepted.yes")),
    _clinic("F017", "waits for words that come later", ("~(it.at < time(9))", 'heard("price")')),
    _clinic(
        "F017",
        "quotes what comes later",
        (
            "observations=[it.insured, it.card],",
            'observations=[it.insured, it.card],\n            must_say=[Say("On {day}, then.", name="day")],',
        ),
    ),
    _clinic(
        "F017",
        "criteria against each other",
        ("success_criteria=[it.accepted.yes]", "success_criteria=[it.accepted.yes, it.accepted.no]"),
    ),
    _clinic(
        "F017",
        "a criterion beyond the type",
        ("success_criteria=[it.accepted.yes]", "success_criteria=[it.accepted.yes & (it.pain > 10)]"),
    ),
    _kiosk(
        "F017",
        "a criterion that requires nothing to be there",
        ("success_criteria=[it.count > 0]", "success_criteria=[~it.count.filled]"),
    ),
    _clinic("F018", "quotes what need not be there", ("{name}, on {day}", "{name}, card {card}, on {day}")),
    _clinic(
        "F018", "quotes what the caller may decline", ("You may cancel until the day before.", "You said: {note}.")
    ),
    _clinic("F018", "commits what the caller may decline", ('note: str = ""', "note: str")),
    _clinic(
        "F018",
        "computed from what need not be there",
        ("def fee_of(reason: str, insured: bool)", "def fee_of(reason: str, card: str)"),
    ),
    _clinic("F018", "waits for what the caller may decline", ("~(it.at < time(9))", "it.note.filled")),
    _clinic(
        "F018",
        "waits for what is not asked for",
        ("success_criteria=[it.accepted.yes]", "success_criteria=[it.accepted.yes & (it.pain < 8)]"),
    ),
    _kiosk(
        "F018",
        "waits for a ribbon",
        ("success_criteria=[it.count > 0]", 'success_criteria=[(it.count > 0) & (it.ribbon != "")]'),
    ),
    _clinic(
        "F019",
        "a verdict alone",
        ("success_criteria=[it.accepted.yes]", 'success_criteria=[judged("the caller agrees")]'),
    ),
    _clinic(
        "F019",
        "a verdict is enough",
        ("success_criteria=[it.accepted.yes]", 'success_criteria=[it.accepted.yes | judged("the caller agrees")]'),
    ),
    _clinic(
        "F019",
        "a verdict leads to it",
        ("            observations=[it.accepted],\n            success_criteria=[it.accepted.yes],\n", ""),
        ('To("booking", when=it.accepted.yes)', 'To("booking", when=judged("the caller agrees"))'),
    ),
    _clinic("F020", "one name for many", ("name: str, day: date", "name: list[str], day: date")),
    _clinic("F020", "a yes as a text", ('note: str = ""', 'insured: str, note: str = ""')),
    _clinic("F021", "as often as the model likes", ("tools=[free_hours]", "tools=[free_hours, book]")),
    _clinic(
        "F021",
        "two ways out of one failure",
        ("tools=[free_hours]", 'tools=[free_hours, book.once(on_failure="not_booked")]'),
    ),
    _clinic(
        "F021",
        "idempotent or not",
        ("tools=[free_hours]", 'tools=[free_hours, book.once(on_failure="call_back", idempotent=True)]'),
    ),
    _clinic(
        "F021",
        "verified or not",
        ("tools=[free_hours]", 'tools=[free_hours, book.once(on_failure="call_back", unverified="go")]'),
    ),
)

RECEIVERS = (
    _clinic("F000", "a receiver's name with a space", ('Receiver("diary"', 'Receiver("the diary"')),
    _clinic("F000", "a body without a name", ("body=diary_entry", "body=lambda event: event")),
    _clinic("F000", "a body that waits", ("def diary_entry", "async def diary_entry")),
    _clinic(
        "F012",
        "a body named like a tool",
        ('@handler("end")', 'diary_entry.__name__ = "book"\n\n\n@handler("end")'),
    ),
    _clinic("F035", "a mailbox", ("https://diary.example.com/calls", "mailto:diary@example.com")),
    _clinic("F035", "a socket", ("https://diary.example.com/calls", "wss://diary.example.com/calls")),
    _clinic("F035", "no host", ("https://diary.example.com/calls", "https:///calls")),
    _clinic("F035", "a host that is cut off", ("https://diary.example.com/calls", "https://[::1/calls")),
    _clinic("F035", "a port beyond the last", ("https://screen.example.com:8443", "https://screen.example.com:84430")),
    _clinic(
        "F035", "a space in the address", ("https://diary.example.com/calls", "https://diary.example.com/the calls")
    ),
    _clinic("F035", "a password in the address", ("https://screen.example.com", "https://me:pw@screen.example.com")),
    _clinic("F035", "an event that is none", ('"call.analyzed"', '"call.analysed"')),
    _clinic("F035", "no events", ('["call.started", "call.phase_changed", "call.analyzed"]', "[]")),
    _clinic("F035", "two receivers of one name", ('                "screen",', '                "diary",')),
    _clinic("F035", "the secret itself", ('secret="screen"', 'secret="whsec_c2VjcmV0"')),
    _clinic("F035", "a token that is no name", ('bearer="diary"', 'bearer="pat=eu1"')),
)

WAYS_OUT = (
    _clinic("F000", "a message of three hours", ('Voicemail(max="2m")', 'Voicemail(max="3h")')),
    _clinic("F036", "a number without a country", ('Transfer("+15550100077"', 'Transfer("5550100077"')),
    _clinic("F036", "a number with spaces", ('Transfer("+15550100077"', 'Transfer("+1 555 010 0077"')),
    _clinic("F036", "a name in the place of a number", ('Transfer("+15550100077"', 'Transfer("reception"')),
    _clinic("F036", "a number that leads back here", ('Transfer("+15550100077"', 'Transfer("+15550100042"')),
)

RECORDINGS = (
    _clinic("F037", "nobody is told", ('consent="recorded", ', "")),
    _clinic("F038", "a statement that is none", ('consent="recorded"', 'consent="recordings"')),
    _clinic("F038", "a rule that is none", ('refusal="unrecorded"', 'refusal="not_recorded"')),
    _clinic("F039", "an opening that can be cut", ('name="recorded", interruptible=False', 'name="recorded"')),
)

TRANSFERS = (
    _switchboard("F000", "a ring of an hour", ('timeout="25s"', 'timeout="1h"')),
    _switchboard("F002", "nobody answers, and nowhere to go on", ('"nobody_free", timeout', '"nobody_there", timeout')),
    _switchboard(
        "F004",
        "the way back is not taken",
        ('Number("+15550100011", no_answer="nobody_free"', 'Number("+15550100011", no_answer="reception"'),
        ('example.com", no_answer="nobody_free"', 'example.com", no_answer="reception"'),
        ("observations=[it.name, it.about]", "observations=[it.name, it.about, it.call_back]"),
        ("observations=[it.call_back, it.number],", ""),
    ),
    _switchboard(
        "F006",
        "a transfer that jumps",
        ('end=Transfer("office", brief', 'may_jump=["bye"], end=Transfer("office", brief'),
    ),
    _switchboard(
        "F006",
        "a transfer that may be asked for",
        ('end=Transfer("office", brief', 'may_transfer=["bench"], end=Transfer("office", brief'),
    ),
    _switchboard("F036", "a way out to nobody", ('fallback=[Transfer("bench")]', 'fallback=[Transfer("bensh")]')),
    _switchboard("F040", "a transfer to nobody", ('Transfer("bench", brief', 'Transfer("bensh", brief')),
    _switchboard("F040", "the model may ring nobody", ('may_transfer=["office"]', 'may_transfer=["offise"]')),
    _switchboard(
        "F040", "a number where a target stands", ('Transfer("office", brief', 'Transfer("+15550100012", brief')
    ),
    _switchboard("F041", "a target without a country", ('Number("+15550100011"', 'Number("5550100011"')),
    _switchboard("F041", "a target that leads back here", ('Number("+15550100011"', 'Number("+15550100010"')),
    _switchboard("F041", "a target at no host", ("sip:office@pbx.example.com", "sip:office")),
    _switchboard("F041", "a SIP address with headers", ("pbx.example.com", "pbx.example.com?Subject=x")),
    _switchboard("F041", "a name in the place of a caller id", ('caller_id="+15550100010"', 'caller_id="Workshop"')),
    _switchboard("F042", "the workshop does not answer", ('no_answer="nobody_free", timeout', "timeout")),
    _switchboard(
        "F043",
        "a desk that nobody rings",
        ('    fallback=[Transfer("bench")]', "    fallback=[]"),
        ('end=Transfer("bench", brief', 'end=Transfer("office", brief'),
    ),
    _switchboard("F044", "words that nobody speaks", ('[Transfer("bench")]', '[Transfer("bench", say="Hold on.")]')),
)

HOURS = (
    _switchboard("F000", "a day that is none", ('"mon-fri": "08', '"mon-fry": "08')),
    _switchboard("F000", "a day twice", ('"sat": "22', '"fri-sat": "22')),
    _switchboard("F000", "a span that overlaps", ("14:00-18:00", "12:00-18:00")),
    _switchboard("F000", "a date that is none", ("9999-12-24", "9999-24-12")),
    _switchboard(
        "F051",
        "a line that is never open",
        ('{"mon-fri": "08:00-12:30, 14:00-18:00", "sat": "22:00-02:00"}', "{}"),
        ('holidays={"9999-12-24": "08:00-12:00"}', 'holidays=["9999-12-24"]'),
    ),
    _switchboard(
        "F052", "nobody to be rung outside the hours", ('then=[Transfer("office")', 'then=[Transfer("ofice")')
    ),
    _switchboard(
        "F052", "a number where a target stands", ('then=[Transfer("office")', 'then=[Transfer("+15550100012")')
    ),
    _switchboard(
        "F053",
        "never closed",
        (
            '    hours=Hours({"mon-fri": "08:00-12:30, 14:00-18:00", "sat": "22:00-02:00"}, '
            'holidays={"9999-12-24": "08:00-12:00"}),\n',
            "",
        ),
    ),
    _switchboard("F054", "last year's holiday", ("9999-12-24", "2001-12-24")),
    _switchboard("F030", "words that would be spoken oddly", ("The workshop is closed.", "Closed, {name}.")),
    _switchboard(
        "F044", "words for after hours", ('then=[Transfer("office")', 'then=[Transfer("office", say="Wait.")')
    ),
    _switchboard("F044", "nothing to tell", ('then=[Transfer("office")', 'then=[Transfer("office", brief=True)')),
)

TEXT_MESSAGES = (
    _switchboard("F000", "a message of nothing", ('Sms("Dear {name}, we call you back."', 'Sms(" "')),
    _switchboard("F003", "a field that is none", ("Dear {name}", "Dear {nam}")),
    _switchboard("F003", "a number that is nowhere", ("to=it.number", "to=it.numbers")),
    _switchboard("F055", "a place that is none", ("Dear {name}", "Dear {the name}")),
    _payments(
        "F056",
        "the number of a card",
        ("    report=Report(", '    report=Report(sms=[Sms("Paid with {card}.")], '),
        ("    Report,", "    Report,\n    Sms,"),
    ),
)

_SECRET = "secret=True, "
_NO_SECRETS = (", secrets=[it.card]", "")

KEYS = (
    _payments(
        "F045",
        "yes or no by keys",
        ('amount: int = ask("how much they pay, in euros"', 'paid: bool = ask("whether"'),
        ("def share_of(amount: int)", "def share_of(paid: bool)"),
        ("return amount // 100\n", "return paid * 1\n"),
        ("it.account, it.amount", "it.account, it.paid"),
        ("You pay {amount} euros.", "You pay {paid}."),
    ),
    _payments(
        "F045", "a menu where keys are an answer", ("            tools=[rate],", '            keys={"9": To("desk")},')
    ),
    _payments(
        "F045",
        "keys of a goodbye",
        ('Say goodbye.", end=HangUp()),\n    ],', 'Bye.", end=HangUp(), keys={"1": To("desk")}),\n    ],'),
    ),
    _payments(
        "F045",
        "no way out for who has no card",
        ('limits=Limits(phase=PhaseLimits(turns=10, then="desk"))', "limits=Limits()"),
    ),
    _payments("F002", "a key leads to nowhere", ('"2": To("desk")', '"2": To("deks")')),
    _guesthouse("F002", "a cost that leads nowhere", ('cost_way=To("bye")', 'cost_way=To("by")')),
    _guesthouse(
        "F013", "a statement of nothing in one language", ("Sono {total} euro.", "Sono {totale} euro."), also="F050"
    ),
    _guesthouse("F030", "an apology without words in one language", ("Mi dispiace, richiami per favore.", "…")),
    _guesthouse("F030", "a place in a message", ("Qui Villa Iris.", "Qui {total}.")),
    _guesthouse(
        "F047",
        "an opening in no language of the flow",
        ('"it": "Villa Iris, buon', '"fr": "Villa Iris, bon'),
        also="F048",
    ),
    _guesthouse("F047", "a filler in no language of the flow", ('"it": "Guardo', '"pt": "Vejo'), also="F048"),
    _guesthouse(
        "F048",
        "a rule that speaks one language",
        ('{"en": "Dogs are welcome.", "it": "I cani sono ammessi."}', '"Dogs are welcome."'),
    ),
    _guesthouse("F048", "a question in one language", (', "it": "È ancora in linea?"', "")),
    _guesthouse("F048", "a statement in one language", (', "it": "Sono {total} euro."', "")),
    _guesthouse("F048", "words of the cost in one language", (', "it": "Dobbiamo concludere."', "")),
    _guesthouse(
        "F049",
        "a language that we do not speak",
        ('languages=["en", "it"]', 'languages=["en", "it", "sv"]'),
        also="F048",
    ),
    _guesthouse("F050", "a total in one language", ("Sono {total} euro.", "È un buon prezzo.")),
    _payments("F030", "a prompt without words", ('prompt="Please enter the number of your card."', 'prompt="…"')),
    _payments(
        "F046",
        "a secret that is spoken",
        ('secret=True, keypad=Keypad(prompt="Please enter the number of your card.")', "secret=True"),
    ),
    _payments("F046", "a secret that is read back", (_SECRET, 'secret=True, confirm="read back", ')),
    _payments("F046", "a secret in a statement", ("You pay {amount} euros.", "You pay {amount} euros with {card}.")),
    _payments("F046", "a secret in instructions", ('"Take the card."', '"Take {card}."')),
    _payments("F046", "a secret in the persona", ("telephone of a bank.", "telephone of a bank, {card}.")),
    _payments("F046", "a secret as a tool's argument", ("def rate(amount: int)", "def rate(amount: int, card: str)")),
    _payments(
        "F046", "a field computed from a secret", ("def share_of(amount: int)", "def share_of(amount: int, card: str)")
    ),
    _payments("F046", "a guard that looks at a secret", ('{"paid": it.card.filled}', '{"paid": it.card == "4111"}')),
    _payments("F046", "a body that quotes it undeclared", ('["observations"]["amount"]}', '["observations"]["card"]}')),
    _payments("F046", "nobody gets it", _NO_SECRETS),
    _payments("F046", "declared for what is no secret", ("secrets=[it.card]", "secrets=[it.card, it.amount]")),
    _payments("F003", "declared for what is no observation", ("secrets=[it.card]", 'secrets=[it.card, "pin"]')),
)

MUTANTS = (
    *(*NAMES, *ROADS, *FIELDS, *WORDS, *GUARDS, *ENDS, *RECEIVERS, *WAYS_OUT, *RECORDINGS, *TRANSFERS, *KEYS),
    *(*HOURS, *TEXT_MESSAGES),
)
