"""Rules about text messages at the end of a call: that they can be written, and tell nobody what is secret."""

from __future__ import annotations

from collections.abc import Iterator

from ..source import place_of
from .findings import Flaw, LintRule
from .places import stray_braces
from .study import Study


def _texts(study: Study) -> Iterator[Flaw]:
    for sms in study.flow.report.sms:
        where = place_of(sms) or place_of(study.flow)
        if stray_braces(sms.text):
            mend = "write the name of an observation alone in braces, as in {total}"
            yield Flaw(where, "a text message has braces that are no place for a value", mend)


def _secrets(study: Study) -> Iterator[Flaw]:
    secret = study.flow.secrets
    for sms in study.flow.report.sms:
        for name in sorted(secret & {*sms.places, sms.to}):
            yield Flaw(
                place_of(sms) or place_of(study.flow),
                f"a text message would tell {name!r}, which is secret",
                "leave it out: text messages are not sealed",
            )


RULES = (
    LintRule("F055", "error", "a text message that cannot be written", _texts),
    LintRule("F056", "error", "a text message with a secret in it", _secrets),
)
