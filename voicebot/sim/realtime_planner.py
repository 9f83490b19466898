"""What a response is to be: the session's settings with its overrides, what the model sees, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .brain import Brain, Calls, Context, Output, Says, obey, reads_verbatim
from .realtime_audio import Codec, codec_of
from .realtime_config import NamedTool, Refused, SessionConfig, check_tools
from .realtime_items import Conversation, Item, made_of
from .realtime_quirks import Quirks
from .realtime_records import Ids
from .realtime_schema import ItemReference, ResponseParams
from .realtime_stage import Order, words_tokens


class Planner:
    """Turns `response.create` into an `Order` and asks the brain for its outputs.

    `problems` holds what a brain did that a model cannot do.
    """

    def __init__(self, brain: Brain, conversation: Conversation, ids: Ids, quirks: Quirks) -> None:
        self.problems: list[str] = []
        self._brain = reads_verbatim(brain, misreadings=quirks.misreadings)
        self._conversation = conversation
        self._ids = ids
        self._quirks = quirks
        self._in_band = self._out_of_band = 0
        self._cached: tuple[str, tuple[int, int]] = ("", (0, 0))

    def order(self, params: ResponseParams, config: SessionConfig, codec: Codec) -> Order:
        """Resolve `params` against the session's settings; `codec` is that of the session's input audio.

        Raises:
            Refused: it asks for what is not there.
        """
        output = params.audio.output
        in_band = params.conversation == "auto"
        context = self._context(params, config, codec)
        form = output.format or config.audio.output.format
        voice = output.voice or config.audio.output.voice
        tokens, cached = self._count_input(context)
        return Order(
            context=context,
            conversation=self._conversation if in_band else None,
            audio=(params.output_modalities or config.output_modalities) == ["audio"],
            form=form,
            codec=codec_of(form),
            voice=voice if isinstance(voice, str) else voice.model_dump(),
            max_tokens=params.max_output_tokens or config.max_output_tokens,
            metadata=params.metadata,
            input_tokens=tokens,
            cached_tokens=cached,
            fault=self._fault(in_band=in_band),
        )

    def outputs(self, order: Order) -> tuple[Output, ...]:
        """Ask the brain, unless the response is to fail before it has said a word."""
        if order.fault == self._quirks.fail_code:
            return ()
        thought = self._brain.respond(order.context)
        outputs = obey(thought, order.context)
        if _calls(outputs) and not _calls(thought):
            self.problems.append(f"the brain did not call though tool_choice was {order.context.tool_choice}")
        said = tuple(output for output in outputs if isinstance(output, Calls) or output.text.strip())
        if self._quirks.preamble and order.conversation is not None:
            return (Says(self._quirks.preamble), *said)
        return said

    def _context(self, params: ResponseParams, config: SessionConfig, codec: Codec) -> Context:
        tools = config.tools if params.tools is None else params.tools
        choice = params.tool_choice or config.tool_choice
        check_tools(tools, choice, "response")
        return Context(
            instructions=config.instructions if params.instructions is None else params.instructions,
            tools=tuple(tool.model_dump() for tool in tools),
            tool_choice=f"function:{choice.name}" if isinstance(choice, NamedTool) else choice,
            items=tuple(item.seen() for item in self._input_items(params, codec)),
            metadata=dict(params.metadata or {}),
            out_of_band=params.conversation == "none",
        )

    def _input_items(self, params: ResponseParams, codec: Codec) -> list[Item]:
        if params.input is None:
            return self._conversation.items
        items = []
        for at, new in enumerate(params.input):
            if not isinstance(new, ItemReference):
                items.append(made_of(new, new.id or self._ids("item"), self._ids("call"), codec))
                continue
            item = self._conversation.find(new.id)
            if item is None:
                message = f"The item with id '{new.id}' does not exist."
                raise Refused("invalid_value", message, f"response.input[{at}].id")
            items.append(item)
        return items

    def _fault(self, *, in_band: bool) -> str | None:
        quirks = self._quirks
        if not in_band:
            self._out_of_band += 1
            return quirks.fail_code if self._out_of_band in quirks.fail_out_of_band else None
        self._in_band += 1
        if self._in_band in quirks.fail_responses:
            return quirks.fail_code
        return "content_filter" if self._in_band in quirks.filter_responses else None

    def _count_input(self, context: Context) -> tuple[tuple[int, int], tuple[int, int]]:
        """Tokens (text, audio) of a context, and how many of them are cached from the response before.

        The cache holds as long as instructions and tools stay the same. User audio costs a token per 100 ms,
        assistant audio one per 50 ms.
        """
        prompt = context.instructions + json.dumps(context.tools)
        text, audio = words_tokens(prompt), 0.0
        for seen in context.items:
            item = self._conversation.find(seen.item_id)
            if item is not None and item.audio is not None:
                audio += item.audio_ms / (100 if item.role == "user" else 50)
            else:
                text += words_tokens(seen.text + seen.arguments + seen.output)
        tokens = (round(text), round(audio))
        known, before = self._cached
        cached = (min(tokens[0], before[0]), min(tokens[1], before[1])) if known == prompt else (0, 0)
        self._cached = (prompt, tokens)
        return tokens, cached


def _calls(outputs: Sequence[Output]) -> bool:
    return any(isinstance(output, Calls) for output in outputs)
