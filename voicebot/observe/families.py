"""Every metric there is: names as they are scraped, in base units, with few values of each label."""

from __future__ import annotations

from voicebot.log_events import LOG_EVENTS

from .registry import Counter, Family, Gauge, Histogram

_QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_TURN_S = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 6, 10)
_WORK_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
_CALL_S = (5, 15, 30, 60, 120, 180, 300, 480, 600, 900, 1800, 3600)
_WAIT_S = (5, 10, 20, 30, 60, 90, 120, 180, 300, 600, 1200, 1800)
_LEVEL_DB = (-70, -60, -50, -45, -40, -35, -30, -25, -20, -15, -10, -5)
_KNOWN = {
    "refused": ("full", "lagging", "stopping", "flow", "store", "error"),
    "outbound": ("answered", "busy", "no_answer", "failed", "canceled", "never_connected"),
    "outbound_refused": ("number", "not_allowed", "do_not_call", "hours", "rate", "line_busy"),
    "model_losses": ("lost", "refused", "roll_over"),
    "model_errors": ("none", "other", "server_error", "rate_limit_exceeded", "insufficient_quota"),
    "attempts": ("delivered", "failed", "dead", "disabled"),
}


class Families:
    """The metrics of one process. Those of the store, which all processes share, are `shared`."""

    def __init__(self) -> None:
        # calls
        self.calls_active = Gauge("voicebot_calls_active", "Calls at work.")
        self.calls_limit = Gauge("voicebot_calls_limit", "Unfinished calls at most, over all instances.")
        self.accepting = Gauge("voicebot_accepting", "1 while new calls are taken, 0 from the first request to stop.")
        self.admitted = Counter("voicebot_calls_admitted_total", "Calls that began.", ("flow",))
        self.refused = Counter("voicebot_calls_refused_total", "Callers who heard a sentence instead.", ("reason",))
        self.queue_wait = Histogram(
            "voicebot_queue_wait_seconds", "For a place, by what came of it.", _WAIT_S, ("result",)
        )
        self.outbound = Counter("voicebot_outbound_calls_total", "Calls of ours, by what came of ringing.", ("result",))
        self.messages = Counter("voicebot_text_messages_total", "Of tools, and at calls' ends.", ("flow", "result"))
        self.outbound_refused = Counter("voicebot_outbound_refused_total", "Calls that were not placed.", ("reason",))
        self.ended = Counter("voicebot_calls_ended_total", "Calls reported.", ("flow", "reason", "outcome"))
        self.duration = Histogram("voicebot_call_duration_seconds", "From answer to end.", _CALL_S, ("flow",))
        self.taken_over = Counter("voicebot_calls_taken_over_total", "Calls gone on with here.", ("flow",))
        self.stream_losses = Counter("voicebot_stream_losses_total", "Media streams that broke.", ("flow",))
        self.passed_on = Counter("voicebot_calls_passed_on_total", "Ways out taken.", ("to", "status"))
        self.phases = Counter("voicebot_phases_entered_total", "Phases entered.", ("flow", "phase"))
        self.proposals_refused = Counter("voicebot_proposals_refused_total", "The model's, by the engine.", ("flow",))
        self.transfers_refused = Counter(
            "voicebot_transfers_refused_total", "The model's wishes to have somebody rung who may not be.", ("flow",)
        )
        # what callers feel
        self.response = Histogram(
            "voicebot_response_seconds", "End of the caller's speech to first audio.", _TURN_S, ("flow",)
        )
        self.barge_in = Histogram("voicebot_barge_in_seconds", "Speech of the caller seen to `clear` sent.", _QUICK_S)
        self.interruptions = Counter("voicebot_interruptions_total", "Utterances cut short.", ("flow",))
        self.underruns = Counter("voicebot_playback_underruns_total", "Gaps within an utterance of the bot.", ("flow",))
        self.underrun_time = Counter("voicebot_playback_underrun_seconds_total", "Silence in these gaps.", ("flow",))
        self.caller_audio = Counter("voicebot_caller_audio_seconds_total", "Audio of callers that came.")
        self.caller_gaps = Counter("voicebot_caller_audio_gaps_total", "Half seconds of callers with audio missing.")
        self.caller_gap_time = Counter("voicebot_caller_audio_gap_seconds_total", "Audio missing in these gaps.")
        self.caller_clipped = Counter("voicebot_caller_audio_clipped_calls_total", "Calls with 1 % of samples clipped.")
        self.caller_level = Histogram(
            "voicebot_caller_level_dbov", "Level of a call's caller while audible, 0 at full scale.", _LEVEL_DB
        )
        # the model
        self.model_sessions = Counter("voicebot_model_sessions_total", "Sessions with the model opened.", ("flow",))
        self.model_losses = Counter("voicebot_model_sessions_ended_total", "Given up or broken in a call.", ("kind",))
        self.model_errors = Counter("voicebot_model_errors_total", "Replies that failed.", ("code",))
        self.not_exact = Counter("voicebot_statements_not_rendered_total", "Exact words not to be had.", ("flow",))
        self.tokens = Counter("voicebot_tokens_total", "Tokens used; cached ones are part of the input.", ("kind",))
        self.cost = Counter("voicebot_cost_usd_total", "Estimated price of the tokens, where known.", ("flow",))
        # the flow's tools
        self.tools = Histogram("voicebot_tool_seconds", "Run time of tools.", _WORK_S, ("flow", "tool"))
        self.tool_failures = Counter("voicebot_tool_failures_total", "Without a result.", ("flow", "tool"))
        # webhooks and deliveries
        self.requests = Histogram(
            "voicebot_http_request_seconds", "Time to answer, media sockets apart.", _QUICK_S, ("route", "status")
        )
        self.attempts = Counter("voicebot_delivery_attempts_total", "Posts to receivers.", ("result",))
        self.delivery_time = Histogram("voicebot_delivery_seconds", "Time of a post.", _WORK_S)
        # the process
        self.loop_lag = Gauge("voicebot_event_loop_lag_seconds", "By how much the event loop is late now.")
        self.tasks = Gauge("voicebot_tasks", "Tasks of the event loop.")
        self.threads = Gauge("voicebot_threads", "Threads of the process.")
        self.descriptors = Gauge("voicebot_open_file_descriptors", "All, sockets included.")
        self.sockets = Gauge("voicebot_open_sockets", "Sockets.")
        self.connections = Gauge("voicebot_connections", "Connections from outside.")
        self.turned_away = Counter(
            "voicebot_turned_away_total", "Connections, requests and calls not served.", ("reason",)
        )
        self.memory = Gauge("voicebot_memory_bytes", "Resident memory.")
        self.cpu = Counter("voicebot_cpu_seconds_total", "Processor time, user and system.")
        self.started = Gauge("voicebot_start_time_seconds", "When the process began, since 1970.")
        self.log_lines = Counter("voicebot_log_lines_total", "Lines of WARNING and above.", ("level", "event"))
        self.store_healthy = Gauge("voicebot_store_healthy", "0 from a write that failed until one succeeds.")
        self.store_errors = Counter("voicebot_store_errors_total", "Operations that the store refused.")
        self.unwritten = Gauge("voicebot_journal_unwritten_entries", "Of calls at work; they go with the report.")
        self.info = Gauge("voicebot_build_info", "Always 1.", ("version", "python"))
        # of the store, the same whichever process is asked
        self.deliveries = Gauge("voicebot_deliveries", "Waiting for a receiver or a person.", ("state",))
        self.oldest = Gauge("voicebot_delivery_oldest_pending_seconds", "Age of the oldest one that waits.")
        self.shared: tuple[Family, ...] = (self.deliveries, self.oldest)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Have the series of known labels before anything happens: Prometheus sees no increase in a first value."""
        for counter, labels in _KNOWN.items():
            for label in labels:
                getattr(self, counter).add(label, by=0)
        for event in sorted(LOG_EVENTS):
            self.log_lines.add("ERROR", event, by=0)

    @property
    def own(self) -> tuple[Family, ...]:
        """Those of this process."""
        return tuple(one for one in vars(self).values() if isinstance(one, Family) and one not in self.shared)
