"""A hotline: two phases that take turns until the caller has no more questions."""

from voicebot.flow import After, AskAgain, Flow, HangUp, Limits, Observations, Phase, To, ask, it, tool


class Questions(Observations):
    more: bool = ask("whether they have another question")


@tool
def look_up(words: str) -> str:
    """Look something up in the handbook."""
    return words


flow = Flow(
    goal="Answer questions about the washing machine.",
    observations=Questions,
    limits=Limits(silence=[After("10s", AskAgain()), After("20s", To("bye"))]),
    phases=[
        Phase("help", instructions="Answer the question.", tools=[look_up], transitions=[To("more")]),
        Phase(
            "more",
            instructions="Ask whether there is anything else.",
            observations=[it.more],
            transitions=[To("help", when=it.more.yes), To("bye", when=it.more.no)],
        ),
        Phase("bye", instructions="Say goodbye.", end=HangUp()),
    ],
)
