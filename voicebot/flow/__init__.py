"""What a flow's author imports: everything a flow can say."""

from voicebot.errors import ToolError

from .expressions import heard, it, judged, otherwise
from .handlers import CallControl, CallEvent, handler
from .hours import Closed, Hours
from .json_types import PhoneNumber
from .keypad import Keypad
from .model import (
    After,
    Analysis,
    AskAgain,
    Flow,
    HangUp,
    Key,
    LeaveMessage,
    Limits,
    Phase,
    PhaseLimits,
    Report,
    Rule,
    Say,
    To,
)
from .observations import Observations, ask, computed
from .patience import Patience
from .receivers import Receiver
from .recording import Recording
from .sms import Sms
from .targets import Number, Sip
from .tools import ToolContext, tool
from .ways_out import Transfer, Voicemail

__all__ = [
    "After",
    "Analysis",
    "AskAgain",
    "CallControl",
    "CallEvent",
    "Closed",
    "Flow",
    "HangUp",
    "Hours",
    "Key",
    "Keypad",
    "LeaveMessage",
    "Limits",
    "Number",
    "Observations",
    "Patience",
    "Phase",
    "PhaseLimits",
    "PhoneNumber",
    "Receiver",
    "Recording",
    "Report",
    "Rule",
    "Say",
    "Sip",
    "Sms",
    "To",
    "ToolContext",
    "ToolError",
    "Transfer",
    "Voicemail",
    "ask",
    "computed",
    "handler",
    "heard",
    "it",
    "judged",
    "otherwise",
    "tool",
]
