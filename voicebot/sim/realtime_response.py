"""One response of the Realtime server: a plan of outputs, played out as events in the order of the reference.

`steps()` is a generator: it sends the events that are due and yields the seconds until more are. The session resumes
it, or cancels the response in the middle; then what is open is closed as incomplete.

    response.created → [the events of `realtime_outputs`] per output → response.done
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from .brain import Calls, Output, Says
from .realtime_config import JsonObject
from .realtime_items import Item
from .realtime_outputs import CallOutput, MessageOutput, Scene
from .realtime_stage import CutShortError, Meter, Order, Stage

Status = Literal["pending", "in_progress", "completed", "cancelled", "failed", "incomplete"]

_FAULTS = {
    "server_error": "The server had an error while processing your request.",
    "rate_limit_exceeded": "Rate limit reached.",
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
}


class Response:
    """One response, from `response.create` to `response.done`."""

    def __init__(self, order: Order, outputs: Sequence[Output], stage: Stage) -> None:
        self.id = stage.ids("resp")
        self.order = order
        self.status: Status = "pending"
        self._stage = stage
        self._meter = Meter(order)
        self._scene = Scene(self.id, order, stage, self._meter)
        self._outputs = outputs
        self._items: list[Item] = []
        self._open: MessageOutput | CallOutput | None = None
        self._details: JsonObject | None = None
        self._limits_told = False

    @property
    def in_band(self) -> bool:
        return self.order.conversation is not None

    @property
    def audio_ms(self) -> float:
        """Audio sent in all its items."""
        return self._meter.audio_ms

    @property
    def over(self) -> bool:
        return self.status not in ("pending", "in_progress")

    def steps(self) -> Iterator[float]:
        """Play the response out; yields seconds to wait."""
        timing, chance = self._stage.timing, self._stage.chance
        late_s = 0.0 if self.in_band or self.order.audio else self._stage.quirks.analysis_late_s
        yield chance.wait(timing.created_s, 0.15) + late_s
        self.status = "in_progress"
        self._emit("response.created", response=self.wire())
        if self._stage.quirks.rate_limits == "start" or chance.flip(usual=False):
            self._emit_rate_limits()
        yield chance.wait(timing.first_audio_s, 1.0)
        if self.order.fault in _FAULTS:
            self._fail(self.order.fault)
        else:
            yield from self._play()

    def cancel(self, reason: Literal["client_cancelled", "turn_detected"]) -> None:
        """End it now. The session resumes `steps` no more."""
        self._close_open("incomplete")
        self._finish("cancelled", {"type": "cancelled", "reason": reason})

    def wire(self) -> JsonObject:
        """The response object of `response.created` and `response.done`."""
        order = self.order
        conversation = order.conversation
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._details,
            "output": [item.wire() for item in self._items] if self.over else [],
            "conversation_id": conversation.id if conversation else None,
            "output_modalities": ["audio" if order.audio else "text"],
            "max_output_tokens": order.max_tokens,
            "audio": {"output": {"format": order.form.model_dump(), "voice": order.voice}},
            "usage": self._usage() if self.over and self.status != "failed" else None,
            "metadata": None if self._stage.quirks.no_metadata or not order.metadata else dict(order.metadata),
        }

    def _play(self) -> Iterator[float]:
        try:
            for index, output in enumerate(self._outputs):
                if index:
                    yield self._stage.timing.between_outputs_s
                yield from self._output(index, output)
        except CutShortError as cut:
            self._close_open("incomplete")
            self._finish("incomplete", {"type": "incomplete", "reason": cut.args[0]})
            return
        yield self._stage.quirks.done_late_s + self._stage.chance.wait(0, 0.3)
        self._finish("completed", None)

    def _output(self, index: int, output: Output) -> Iterator[float]:
        match output:
            case Says(text):
                self._open = MessageOutput(self._scene, index, text)
            case Calls():
                self._open = CallOutput(self._scene, index, output)
        self._items.append(self._open.item)
        yield from self._open.steps()
        self._close_open("completed")

    def _close_open(self, status: Literal["completed", "incomplete"]) -> None:
        if self._open is not None:
            self._open.close(status)
            self._open = None

    def _fail(self, code: str) -> None:
        error = {"type": code, "code": code, "message": _FAULTS[code]}
        self._finish("failed", {"type": "failed", "error": error})

    def _finish(self, status: Status, details: JsonObject | None) -> None:
        self.status, self._details = status, details
        self._emit("response.done", response=self.wire())
        self._emit_rate_limits()

    def _usage(self) -> JsonObject:
        text_in, audio_in = self.order.input_tokens
        text_cached, audio_cached = self.order.cached_tokens
        text_out, audio_out = round(self._meter.text), round(self._meter.audio)
        return {
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": text_cached + audio_cached,
                "cached_tokens_details": {
                    "text_tokens": text_cached,
                    "audio_tokens": audio_cached,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        }

    def _emit(self, kind: str, **fields: object) -> None:
        self._stage.emit(kind, **fields)

    def _emit_rate_limits(self) -> None:
        if self._limits_told or self._stage.quirks.rate_limits == "missing":
            return
        self._limits_told = True
        left = 50_000 - sum(self.order.input_tokens) - self._meter.tokens
        self._emit(
            "rate_limits.updated",
            rate_limits=[
                {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 60.0},
                {"name": "tokens", "limit": 50_000, "remaining": max(0, left), "reset_seconds": 0.3},
            ],
        )
