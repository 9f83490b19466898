"""What a moment of a call suggests to the cooperative brain: a rule, a jump, a tool, a value, a verdict, the end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from .brain import Calls
from .cooperative_scene import Field, Scene, Use, needs
from .cooperative_speech import clipped, spoken
from .cooperative_words import UNREAD, Schema, options_of, properties_of, read

_CHANGES = re.compile(r"\b(?:change|correct|set|make|update)\s+(?:the |my )?(.{2,40}?)\s+to\s+(.+)", re.IGNORECASE)
_WANTS = re.compile(r"\b(?:go|skip|jump|rather|want|take me|straight|stop|move|back)\b", re.IGNORECASE)
_PEOPLE = {
    "human", "person", "people", "someone", "somebody", "agent", "operator", "colleague", "staff", "manager",
}  # fmt: skip
_STOP_WORDS = {
    "the", "caller", "customer", "asks", "ask", "wants", "want", "says", "say", "for", "a", "an", "to", "of", "is",
    "they", "them", "their", "or", "and", "with", "speak", "talk", "about", "when", "if", "being", "it", "be", "in",
    "are", "on",
}  # fmt: skip
_ADDS = re.compile(r"\b(?:too|also|as well|add|more|another|plus|besides|on top)\b", re.IGNORECASE)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


# ---- rules, jumps, corrections ---------------------------------------------------------------------------------------


def rule_for(scene: Scene) -> str | None:
    """The rule of the flow that the words call for, by the words of its description."""
    described = str(scene.tools.get("apply_rule", {}).get("description", ""))
    said = _content(scene.words)
    for rule in scene.choices("apply_rule", "rule"):
        found = re.search(rf"\b{re.escape(rule)}: ([^;]*)", described)
        meant = _content(f"{rule.replace('_', ' ')} {found[1] if found else ''}")
        asks_for_people = bool(meant & _PEOPLE and said & _PEOPLE)
        if asks_for_people or len(meant & said) >= min(2, len(meant)) > 0:
            return rule
    return None


def jump_for(scene: Scene) -> str | None:
    """The part of the conversation that the words ask for by its name."""
    if not _WANTS.search(scene.words):
        return None
    said = set(re.findall(r"[a-z]+", scene.words.casefold()))
    return next((name for name in scene.choices("request_phase", "phase") if set(name.split("_")) <= said), None)


def _content(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", text.casefold())} - _STOP_WORDS


def change(scene: Scene) -> tuple[str, object] | None:
    """A correction by name: "change the name to Ada"."""
    found = _CHANGES.search(scene.words)
    if found is None:
        return None
    wanted = " ".join(found[1].casefold().split())
    for name, one in scene.fields.items():
        if wanted in (name, title(name)) or wanted == one.description.casefold():
            value = read(one.schema, found[2], scene.today)
            return None if value is UNREAD else (name, value)
    return None


def takes_anything(schema: Schema) -> bool:
    """Whether any words at all would do for a value."""
    if schema.get("type") == "array":
        return not isinstance(items := schema.get("items"), dict) or "enum" not in items
    return schema.get("type") == "string" and not schema.keys() & {"format", "pattern", "enum"}


def is_loose(scene: Scene, name: str) -> bool:
    """Whether words that were meant for another field could be taken for this one."""
    schema = scene.fields[name].schema if name in scene.fields else {}
    return takes_anything(schema) or schema.get("type") == "object"


def refused_value(scene: Scene, name: str) -> Mapping[str, object] | None:
    """The object that was proposed for a field last, if it was refused: a part of it may be put right."""
    for use in reversed(scene.uses):
        given = use.arguments.get(name) if use.name == "record" else None
        if isinstance(given, dict):
            value = given.get("value")
            return value if name in use.refused and isinstance(value, dict) else None
    return None


# ---- tools, judgements, the end --------------------------------------------------------------------------------------


def tool_to_use(scene: Scene) -> Calls | None:
    """A function of the flow that the next field or the phase speaks of, unless it has said already what it says."""
    named = named_tool(scene, scene.fields[scene.missing[0]].description) if scene.missing else None
    plain = (name for name in scene.own_tools() if _mentions(scene.about, name) and not needs(scene.parameters(name)))
    for name in filter(None, (named, *plain)):
        arguments = _arguments(scene, name)
        if arguments is not None and _is_stale(scene, name):
            return Calls(name, arguments)
    return None


def _is_stale(scene: Scene, tool: str) -> bool:
    """Whether the tool was not used yet, or something has changed since: another part began, a value was corrected."""
    places = [place for place, use in enumerate(scene.uses) if use.name == tool]
    if not places:
        return True
    before = {name for use in scene.uses[: places[-1]] for name in use.accepted}
    later = scene.uses[places[-1] + 1 :]
    return any(use.ends_the_part or before & set(use.accepted) for use in later if use.name == "record")


def named_tool(scene: Scene, text: str) -> str | None:
    return next((name for name in scene.own_tools() if _mentions(text, name)), None)


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _arguments(scene: Scene, tool: str) -> dict[str, object] | None:
    """What a function cannot be called without, from what is known; None if it is not known."""
    parameters = properties_of(scene.parameters(tool))
    arguments: dict[str, object] = {}
    for name in needs(scene.parameters(tool)):
        options = options_of(parameters[name])
        known = [option for value in scene.known.values() for option in options if str(option) == value]
        if known:
            arguments[name] = known[-1]
        elif parameters[name].get("format") == "date" and scene.today is not None:
            arguments[name] = (scene.today + timedelta(days=1)).isoformat()
        else:
            return None
    return arguments


def suggestion(scene: Scene, wanted: Field, use: Use | None) -> object:
    """The value of a field that follows from what a tool has given, or from another field that it speaks of."""
    if takes_anything(wanted.schema) or wanted.schema.get("type") in ("object", "boolean", "array"):
        return UNREAD
    given = use.answer if use is not None and isinstance(use.answer, dict) else {}
    described = set(re.findall(r"\w+", wanted.description.casefold()))
    stem = wanted.name.split("_")[0]
    for key in sorted(given, key=lambda one: (one != wanted.name, str(one).split("_")[0] != stem)):
        if key == wanted.name or str(key).split("_")[0] == stem or str(key).casefold() in described:
            value = read(wanted.schema, spoken(given[key]), None)
            if value is not UNREAD:
                return value
    spoken_of = [value for name, value in scene.known.items() if name in described and name != wanted.name]
    readings = (read(wanted.schema, value, None) for value in spoken_of)
    return next((value for value in readings if value is not UNREAD), UNREAD)


def offers_of(use: Use) -> tuple[Mapping[str, object], ...]:
    """What a tool gives to choose from."""
    return tuple(one for one in use.answer if isinstance(one, dict)) if isinstance(use.answer, list) else ()


def choice(offers: Sequence[Mapping[str, object]], words: str) -> Mapping[str, object] | None:
    """The offer that is meant: by its number, or by the most of what it says."""
    said = set(re.findall(r"[\w:.-]+", words.casefold()))
    for number, offer in enumerate(offers[: len(_ORDINALS)], 1):
        if said & {_ORDINALS[number - 1], f"({number})"} or words.strip(" .()") == str(number):
            return offer
    told = [sum(token in said for token in re.findall(r"[\w:.-]+", spoken(offer).casefold())) for offer in offers]
    best = max(told, default=0)
    return offers[told.index(best)] if best else None


def judgement(scene: Scene) -> Calls | None:
    """A verdict on the next criterion, in the caller's favour, once there is nothing left to ask."""
    if scene.missing or scene.read_back or not scene.words:
        return None
    made = [use.arguments.get("criterion") for use in scene.uses if use.name == "judge" and not use.refused]
    made += [use.arguments.get("criterion") for use in scene.latest if use.name == "judge"]
    left = [criterion for criterion in scene.choices("judge", "criterion") if criterion not in made]
    return Calls("judge", {"criterion": left[0], "holds": True, "quote": scene.words}) if left else None


def seems_done(scene: Scene) -> bool:
    """Whether everything was taken and nothing leads on: then the end may be proposed, once."""
    last = scene.latest[-1] if scene.latest else None
    if last is None or last.name != "record" or last.refused or last.ends_the_part or "end_call" not in scene.tools:
        return False
    return not (scene.missing or scene.read_back) and said_no_to(scene) is None


def said_no_to(scene: Scene) -> str | None:
    """A field of this part that was answered by a no or by nothing, which may be what keeps it from ending."""
    denied: dict[str, bool] = {}
    for use in scene.uses:
        if use.name == "record":
            for name in use.accepted:
                given = use.arguments.get(name)
                value = given.get("value") if isinstance(given, dict) else None
                denied[name] = value is False or value in (0, "0", "0.0")
            if use.ends_the_part:
                denied.clear()
    return next((name for name, no in denied.items() if no and name in scene.fields), None)


# ---- words -----------------------------------------------------------------------------------------------------------


def title(name: str) -> str:
    """A name in words."""
    return name.replace("_", " ")


def told(answer: object) -> str:
    """What a tool gave, as one reads it out."""
    if isinstance(answer, dict):
        return ", ".join(f"{title(str(name))} {spoken(value)}" for name, value in answer.items() if value is not None)
    return spoken(answer)


def last_value(scene: Scene, name: str) -> str:
    """A recorded value in words: as it was proposed, else as the instructions print it."""
    value = _proposed(scene, name)
    return scene.known.get(name, "") if value is UNREAD else clipped(spoken(value))


def _proposed(scene: Scene, name: str) -> object:
    """The value of a field that was taken last."""
    for use in reversed(scene.uses):
        given = use.arguments.get(name) if use.name == "record" and name in use.accepted else None
        if isinstance(given, dict) and "value" in given:
            return given["value"]
    return UNREAD


def added(scene: Scene, name: str, value: object) -> object:
    """A list that the caller adds to, with what stood in it before; any other value as it is."""
    before = _proposed(scene, name)
    if isinstance(value, list) and isinstance(before, list) and _ADDS.search(scene.words):
        return [*before, *(one for one in value if one not in before)]
    return value
