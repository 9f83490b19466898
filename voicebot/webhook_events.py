"""The events of a call that receivers may ask for: their names, as flows, settings and bodies use them."""

from __future__ import annotations

from typing import Literal, get_args

WebhookEvent = Literal[
    "call.started",  # the phone rang and was answered to
    "call.phase_changed",  # a phase was entered, the first one too
    "call.completed",  # the call is over: its report
    "call.analyzed",  # the report once more, if the closing analysis has run
]
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
REPORT_EVENT: WebhookEvent = "call.completed"
