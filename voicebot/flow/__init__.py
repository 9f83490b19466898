"""What a flow's author imports: everything a flow can say."""

from voicebot.errors import ToolError

from .expressions import heard, it, judged, otherwise
from .handlers import CallControl, CallEvent, handler
from .json_types import PhoneNumber
from .model import After, AskAgain, Flow, HangUp, Key, Limits, Phase, PhaseLimits, Report, Rule, Say, To
from .observations import Observations, ask, computed
from .tools import ToolContext, tool

__all__ = [
    "After",
    "AskAgain",
    "CallControl",
    "CallEvent",
    "Flow",
    "HangUp",
    "Key",
    "Limits",
    "Observations",
    "Phase",
    "PhaseLimits",
    "PhoneNumber",
    "Report",
    "Rule",
    "Say",
    "To",
    "ToolContext",
    "ToolError",
    "ask",
    "computed",
    "handler",
    "heard",
    "it",
    "judged",
    "otherwise",
    "tool",
]
