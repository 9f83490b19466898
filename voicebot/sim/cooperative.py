"""A model that cooperates: it asks for what is missing, one thing at a time, and reads plain answers.

It sees what a model sees and no more: instructions, functions with their schemas, the conversation. So any flow can be
talked through without a key. It understands nothing: it reads words into the schema of what it asked for, by rule.
What it cannot do: answer questions, make conversation, rate or judge by itself, understand a detour.

It is deterministic and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from . import cooperative_sense as sense
from .brain import Calls, Context, Output, Says, looks_back, plainly_summed_up
from .cooperative_scene import Field, Scene, scene_of
from .cooperative_speech import GOODBYE, clipped, missing_parts, question, spoken
from .cooperative_words import UNREAD, agreed, clearly, read, read_object
from .realtime_quirks import Timing

ABILITIES = (
    "It understands nothing: it asks for one field after the other, and reads plain answers by rule. It cannot answer "
    "questions or make conversation; what a model would judge or rate by itself, it asks you for."
)
AT_ONCE = Timing(created_s=0.0, first_audio_s=0.0, text_s=0.0, between_outputs_s=0.0)  # a writer need not take its time

_BYE = re.compile(
    r"\b(?:good ?bye|bye(?: bye)?|hang up|i (?:have|need|want|'ve got) to (?:go|stop|hang up)|(?:stop|end) the call"
    r"|forget it|never ?mind)\b",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    r"\b(?:rather not|prefer not|(?:don't|do not|won't) (?:want|like|wish) to (?:say|tell|give)|won't (?:say|tell)"
    r"|none of your business|skip)\b",
    re.IGNORECASE,
)
_RETHINKS = re.compile(
    r"\b(?:actually|instead|rather|i meant|i mean|change|make (?:it|that)|after all)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the caller was asked for last.

    `value` is what was suggested, `offers` what there is to choose from, `given` what it was looked for by.
    """

    names: tuple[str, ...]
    how: Literal["value", "again", "suggested", "read back"] = "value"
    value: object = None
    offers: tuple[Mapping[str, object], ...] = ()
    given: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class CooperativeBrain:
    """Asks for the first missing field, reads the answer, records it with the caller's words, and goes on.

    Its memory is what it has said and asked for, and the parts of an object that it has so far; everything else it
    reads from the conversation anew each time.
    """

    _said: set[str] = field(default_factory=set)
    _asked: _Asked | None = None
    _parts: dict[str, dict[str, object]] = field(default_factory=dict)
    _mentioned: set[str] = field(default_factory=set)  # optional fields that were asked for

    def respond(self, context: Context) -> Sequence[Output]:
        """The outputs of one response."""
        if (function := looks_back(context)) is not None:
            return (Calls(function, {"summary": plainly_summed_up(context)}),)
        if context.out_of_band:
            return (Says("There is nothing to add."),)
        scene = scene_of(context, self._said)
        if not self._said:  # a new connection may have taken up a call
            self._asked = next(
                (_Asked((one.name,)) for one in scene.fields.values() if _question(one) in scene.spoken), None
            )
        outputs = self._outputs(scene)
        self._said |= {output.text for output in outputs if isinstance(output, Says)}
        return outputs

    def _outputs(self, scene: Scene) -> Sequence[Output]:
        if scene.dictated:
            return (Says(scene.dictated),)
        if not scene.tools:
            return (Says(GOODBYE),)
        if not scene.fresh:
            return self._go_on(scene)
        return self._heard(scene) or self._go_on(scene, understood=False)

    # ---- what the caller says ----------------------------------------------------------------------------------------

    def _heard(self, scene: Scene) -> Sequence[Output]:
        """What to do about new words at once; nothing if they gave nothing."""
        if rule := sense.rule_for(scene):
            return (Calls("apply_rule", {"rule": rule, "quote": scene.words}),)
        if phase := sense.jump_for(scene):
            return (Calls("request_phase", {"phase": phase, "reason": clipped(scene.words, 100)}),)
        if "end_call" in scene.tools and _BYE.search(scene.words):
            return (Says(GOODBYE), Calls("end_call", {"reason": "caller_wants_to_stop"}))
        if (denied := self._denied(scene)) is not None:
            self._asked = _Asked((denied.name,))
            return (Says(f"What is right, then? {_question(denied)}"),)
        proposals = self._proposals(scene)
        return (Calls("record", proposals),) if proposals else ()

    def _denied(self, scene: Scene) -> Field | None:
        """The field whose value the caller has said no to, without giving another."""
        asked = self._asked
        plainly = agreed(scene.words) is False and len(scene.words.split()) < 4
        if asked is None or asked.how not in ("suggested", "read back") or not plainly:
            return None
        return scene.fields.get(asked.names[0])

    def _proposals(self, scene: Scene) -> dict[str, object]:
        """The fields that the words give, as `record` takes them."""
        anything = self._asked is None or self._asked.how == "again" or _RETHINKS.search(scene.words)
        looked_for = scene.fields if anything else scene.missing
        given = {name: value for name in looked_for if (value := self._clear(scene, name)) is not UNREAD}
        found: dict[str, object] = {name: {"value": value, "quote": scene.words} for name, value in given.items()}
        if (change := sense.change(scene)) is not None:
            found[change[0]] = {"value": change[1], "quote": scene.words}
        asked = self._asked
        loosely = asked is not None and asked.how == "value" and sense.is_loose(scene, asked.names[0])
        if loosely and found.keys() - {asked.names[0] if asked else ""}:
            return found  # "delivery, please" is no name, though any words could be one
        return found | self._answer(scene)

    def _clear(self, scene: Scene, name: str) -> object:
        return sense.added(scene, name, clearly(scene.fields[name].schema, scene.words, scene.today))

    def _answer(self, scene: Scene) -> dict[str, object]:
        """The answer to what was asked, as `record` takes it; empty if there is none."""
        asked, words = self._asked, scene.words
        names = [name for name in (asked.names if asked else ()) if name in scene.fields]
        if asked is None or not names:
            return self._unasked(scene)
        if asked.how == "read back" and agreed(words) is True:
            return {name: {"quote": words, "confirmed": True} for name in names}
        if asked.how == "suggested" and agreed(words) is True:
            return {names[0]: {"value": asked.value, "quote": words}}
        if scene.fields[names[0]].declinable and _DECLINES.search(words):
            return {names[0]: {"quote": words, "declined": True}}
        if asked.how == "read back" and len(names) > 1:  # which of them is meant stands in the words, or nowhere
            return {}
        value = self._read(scene, scene.fields[names[0]], asked)
        return {} if value is UNREAD else {names[0]: {"value": value, "quote": words}}

    def _unasked(self, scene: Scene) -> dict[str, object]:
        """Words before any question of ours: the opening may have asked for the first field, but not for free text."""
        name = next(iter(scene.missing), None)
        if name is None or sense.takes_anything(scene.fields[name].schema):
            return {}
        value = read(scene.fields[name].schema, scene.words, scene.today)
        return {} if value is UNREAD else {name: {"value": value, "quote": scene.words}}

    def _read(self, scene: Scene, wanted: Field, asked: _Asked) -> object:
        """The value for a field; of an object, what has been said of it before counts too."""
        if wanted.schema.get("type") != "object":
            return sense.added(scene, wanted.name, read(wanted.schema, scene.words, scene.today))
        chosen = sense.choice(asked.offers, scene.words)
        known = self._parts.get(wanted.name, {}) | ({} if chosen is None else {**asked.given, **chosen})
        if (refused := sense.refused_value(scene, wanted.name)) is not None:
            corrected, _ = read_object(wanted.schema, scene.words, scene.today, {})
            known = {**refused, **corrected}
        value, missing = read_object(wanted.schema, scene.words, scene.today, known)
        if missing:
            self._parts[wanted.name] = value
            return UNREAD
        self._parts.pop(wanted.name, None)
        return value or UNREAD

    # ---- what comes next ---------------------------------------------------------------------------------------------

    def _go_on(self, scene: Scene, *, understood: bool = True) -> Sequence[Output]:
        if call := sense.tool_to_use(scene) or sense.judgement(scene):
            return (call,)
        if self._optional(scene) is None and sense.seems_done(scene):
            return (Calls("end_call", {"reason": "goal_reached"}),)
        return (Says(" ".join(part for part in (*self._reaction(scene, understood), self._question(scene)) if part)),)

    def _reaction(self, scene: Scene, understood: bool) -> list[str]:
        """What is to be said before the next question: of answers, of refusals, of what a tool has given."""
        said = []
        if not scene.words and not scene.uses:
            said.append("Hello!" if "Greet" in scene.note else "")
        if "silent" in scene.note:
            said.append("Are you still there?")
        partly = self._asked is not None and self._parts.keys() & set(self._asked.names)
        if not understood and self._asked is not None and self._asked.how == "value" and not partly:
            said.append("I am sorry, I did not get that.")
        refused = [why for use in scene.latest if use.name != "end_call" for why in use.refused.values()]
        # What follows the first sentence tells the model what to do.
        said += [f"I could not take that: {why.partition('. ')[0].rstrip('.')}." for why in refused]
        if any(use.accepted for use in scene.latest) and not refused:
            said.append("Thank you.")
        for use in scene.latest:
            if use.name in scene.own_tools() and not sense.offers_of(use) and not use.refused:
                said.append(f"{use.name} says: {clipped(sense.told(use.answer))}.")
        return said

    def _optional(self, scene: Scene) -> str | None:
        """The next field that may be left out, and was not asked for yet."""
        return next((name for name in scene.optional if name not in self._mentioned), None)

    def _question(self, scene: Scene) -> str:
        """The next question; what it asks for is remembered."""
        if scene.missing:
            return self._ask(scene, scene.fields[scene.missing[0]])
        if scene.read_back:
            self._asked = _Asked(tuple(scene.read_back), "read back")
            noted = "; ".join(f"{sense.title(name)}: {sense.last_value(scene, name)}" for name in scene.read_back)
            return f"I have noted {noted}. Is that right?"
        if (again := sense.said_no_to(scene)) is not None:
            self._asked = _Asked((again,), "again")
            return f"Tell me what to add or to change, if there is anything. {_question(scene.fields[again])}"
        if (optional := self._optional(scene)) is not None:
            self._mentioned.add(optional)
            return self._ask(scene, scene.fields[optional])
        self._asked = None
        return "Is there anything else, or anything to change?" if scene.fields else "Shall we go on?"

    def _ask(self, scene: Scene, wanted: Field) -> str:
        tool = sense.named_tool(scene, wanted.description)
        use = next((use for use in reversed(scene.uses) if tool and use.name == tool), None)
        suggested = sense.suggestion(scene, wanted, use)
        offers = () if use is None else sense.offers_of(use)
        if suggested is not UNREAD:
            self._asked = _Asked((wanted.name,), "suggested", suggested)
            return f"I would put down {spoken(suggested)} as {sense.title(wanted.name)}. Is that right?"
        self._asked = _Asked((wanted.name,), offers=offers, given=use.arguments if use is not None else {})
        if (begun := self._parts.get(wanted.name)) is not None:
            return f"I still need {missing_parts(wanted.schema, begun)}."
        if not offers:
            return _question(wanted)
        listed = "; ".join(f"({number}) {spoken(offer)}" for number, offer in enumerate(offers, 1))
        beside = missing_parts(wanted.schema, {**self._asked.given, **offers[0]})
        return f"There is {listed}. Which one would you like?{f' ({beside})' if beside else ''}"


def _question(wanted: Field) -> str:
    return question(wanted.description, wanted.schema)
