"""The names of log lines: one per thing that happens, constant over versions, to search and to alert by.

A call site reads `log.warning("no room for another call", extra=named("call_refused_full", call_sid))`: the sentence is
for people, the name for machines. `tests/test_log_events.py` holds that every line of the server has one, that it
stands here, and that `deploy/README.md` lists it.
"""

from __future__ import annotations

from typing import Literal, get_args

LogEvent = Literal[
    # the process
    "serving",
    "serving_streams",
    "stopping",
    "calls_go_on_elsewhere",
    "background_work_ended",
    "task_broke",
    "flow_not_loaded",
    "flow_unknown",
    "flows_reloaded",
    "flows_not_reloaded",
    "workers_answering",
    "worker_started",
    "worker_not_started",
    "worker_ended",
    "worker_died",
    "worker_unreachable",
    "worker_silent",
    # requests
    "request_malformed",
    "request_refused",
    "request_failed",
    "request_broke",
    "stream_refused",
    "token_refused",
    "api_action",
    "recording_played",
    "letter_unreadable",
    "store_api_not_answered",
    "store_letters_wait",
    "lagging",
    "lagging_no_more",
    "stream_error",
    "answer_not_used",
    # calls
    "call_refused_full",
    "call_resumed",
    "call_in_other_hands",
    "call_broke",
    "call_cut_off_too_often",
    "call_ended",
    "call_passed_on",
    "call_owner_silent",
    "call_not_rescued",
    "call_rescue_broke",
    "call_not_resumable",
    "call_not_asked_back",
    "outbound_refused",
    "outbound_placed",
    "outbound_not_placed",
    "outbound_not_answered",
    "outbound_doubled",
    "outbound_lost",
    "outbound_broke",
    "answerer_unknown",
    "do_not_call_broken",
    "stream_never_came",
    "leg_lost",
    "leg_malformed",
    "leg_given_up",
    "leg_silent",
    "model_unreachable",
    "model_gone",
    "model_malformed",
    "model_reports",
    "tool_failed",
    "handler_trouble",
    "handler_steers_too_much",
    "report_incomplete",
    "recording_part",
    "recording_failed",
    "recordings_erased",
    "recordings_erased_later",
    # the store
    "store_journal_not_written",
    "store_report_not_written",
    "store_secret_not_kept",
    "store_clip_not_kept",
    "store_clip_use_not_noted",
    "store_watch_blind",
    "store_not_told",
    "store_end_seen_later",
    "store_receivers_told_later",
    "store_deliveries_wait",
    "store_order_not_written",
    "store_orders_wait",
    "store_outbox_not_counted",
    "store_outcome_not_recorded",
    "store_erasing_later",
    "store_write_failed",
    "store_write_recovered",
    "store_entries_dropped",
    "store_entries_lost",
    "store_entry_conflict",
    "store_defect",
    "store_readable_by_others",
    "store_doubtful",
    "store_erased_still_in_wal",
    "calls_erased",
    # deliveries
    "delivery_accepted",
    "delivery_failed",
    "delivery_dead",
    "delivery_broke",
    "delivery_body_failed",
    "receiver_disabled",
    # what no line of ours is
    "library",
]
LOG_EVENTS: frozenset[str] = frozenset(get_args(LogEvent))


def named(name: LogEvent, call_sid: str | None = None) -> dict[str, str]:
    """The `extra` of a log line. `call_sid` where the line may be written outside the tasks of its call."""
    return {"event": name} if call_sid is None else {"event": name, "call_sid": call_sid}
