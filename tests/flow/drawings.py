"""A flow whose words try to break a drawing, with ways of every kind."""

from __future__ import annotations

from voicebot.flow import After, Flow, HangUp, Key, Limits, Observations, Phase, PhaseLimits, Rule, Say, To, ask, it


class Order(Observations):
    mode: str = ask("pickup or <delivery>")
    note: str = ask("a note", optional=True)


FLOW = Flow(
    goal='An "order" <now>',
    observations=Order,
    limits=Limits(silence=(After("20s", To("end")),), phase=PhaseLimits(turns=9, then="end")),
    rules=(
        Rule("human", when="they ask for | a human", then=To("end", when=it.mode.filled)),
        Rule("hash", when=Key("#"), then=To("again")),
        Rule("weather", when="they speak of the weather", then=Say("Let us go on.")),
        Rule("star", when=Key("*"), then=HangUp()),
    ),
    phases=(
        Phase(
            "order",
            observations=(it.mode, it.note),
            transitions=(To("again", when=it.mode == "a|b"), To("end")),
            may_jump=("end", "again"),
        ),
        Phase("again", transitions=(To("order"),), limits=PhaseLimits(duration="90s", turns=3, then="end")),
        Phase("end", end=HangUp()),
    ),
)
