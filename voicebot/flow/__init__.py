"""What a flow's author imports: everything a flow can say."""

from .expressions import heard, it, otherwise
from .json_types import PhoneNumber
from .model import After, AskAgain, Flow, HangUp, Limits, Phase, Report, Say, To
from .observations import Observations, ask
from .tools import ToolContext, tool

__all__ = [
    "After",
    "AskAgain",
    "Flow",
    "HangUp",
    "Limits",
    "Observations",
    "Phase",
    "PhoneNumber",
    "Report",
    "Say",
    "To",
    "ToolContext",
    "ask",
    "heard",
    "it",
    "otherwise",
    "tool",
]
