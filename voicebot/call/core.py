"""The call itself, without I/O: events of the caller's leg and of the model in, effects out, told the time.

Theory of operation.

*Who speaks.* The model never begins a reply by itself. The core owes the caller a reply after each of the caller's
turns, after tools have answered, and when the engine asks for one (`replying` keeps count). `_settle` asks for it as
soon as nothing stands in the way: a reply under way, a tool at work, a statement not yet played, the caller speaking.
So one reply is under way at a time, none is lost and none doubled, in whatever order events come.

*Barge-in.* When the caller begins to speak, or has spoken for so long as the flow wants (`listening`), writes, or
presses a key that is waited for, `_barge_in` clears the line, cancels the reply, ignores what still comes of it, and
truncates each item to what the ledger says was heard. A statement that must not be interrupted keeps playing.

*Phases.* What the engine decides about a response's calls goes out together: answers, new instructions, one reply that
repeats them. A reply is asked for only after the one before it has ended, so none runs on the last phase's words.

*Secrets.* While the caller enters one with the keys (`hush`), silence of the same length goes on in the place of
their audio, and nothing is asked of the model; what they press is masked, and goes to the vault alone (`KeepSecret`).

*The model's absence.* A model's connection may break, or end soon (`contact`). Until another one is there nothing is
said to it but the caller's audio, which waits; then it is told from memory what was heard and done (`memory`). Who
waits too long for a word hears one that was rendered before.

*The end.* A goodbye is heard before the line is closed (bounded). After that, or when the caller has hung up, the turn
under way is committed and its transcript waited for (bounded). Then the model looks back at the call, if the flow wants
that (bounded, see `analysis`). `Finish` is the last effect ever; or `LetGo`, when the caller's stream is lost or the
process stops: then the call is not over, and goes on from its journal (`resume`). A call whose model is gone is let go,
too, if the phone line takes the caller elsewhere then (`passes_on`), and one whose caller is to be joined to a human
being: what comes of that ends the call, or has it go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import get_args

from voicebot.audio.formats import AudioFormat
from voicebot.engine import events as engine_events
from voicebot.engine.engine import PhaseEngine
from voicebot.engine.entries import (
    MASKED_KEY,
    ClosingBegan,
    CostReached,
    EndedReason,
    LanguageSwitched,
    PhaseEntered,
    ToolStarted,
)
from voicebot.engine.events import ToolFinished
from voicebot.flow.model import Say

from . import entries, ports
from .analysis import ANALYSIS_LIMIT_S, ClosingAnalysis
from .bill import Bill
from .briefing import Briefing
from .clips import ClipCache
from .contact import Contact
from .entries import Entry
from .events import (
    AnswererFound,
    Effect,
    EndWanted,
    Event,
    Finish,
    Journal,
    KeepSecret,
    LetGo,
    MessageTold,
    NoteWanted,
    ReconnectModel,
    SayWanted,
    StartTool,
    TransferWanted,
)
from .hush import Hush
from .listening import Listening, is_hum
from .memory import Memory
from .past import Past
from .playback import Playback
from .replying import Replying
from .speaker import Ended, Speaker
from .statements import (
    Statements,
    apology_of,
    filler_of,
    hold_words,
    ready_words,
    words_of_return,
    words_when_unreached,
)
from .waits import Waits

CLOSING_LIMIT_S = 20.0  # from the decision to end until the goodbye must be on the line
GOODBYE_LIMIT_S = 60.0  # from the decision to end, for a goodbye that is being heard
COMMIT_LIMIT_S = 3.0  # from the end of the caller's speech until the model must have closed the turn
FAREWELL_LIMIT_S = 3.0  # the longest wait for the last turn's words after the line is closed


class Stage(Enum):
    """Where a call is in its life."""

    PREPARING = "preparing"  # the webhook was answered; the caller's stream is not here yet
    TALKING = "talking"
    CLOSING = "closing"  # only the goodbye is still to be heard
    LEAVING = "leaving"  # the line is closed; the last turn's words are waited for, and the look back at the call
    ENDED = "ended"


_DURABLE = (
    entries.CallOpened,
    entries.CallTakenOver,
    entries.AnswererKnown,
    entries.TextMessage,
    PhaseEntered,
    ToolStarted,
    LanguageSwitched,
    CostReached,
    ClosingBegan,
    entries.LegLost,
    entries.HandedOver,
    entries.LineClosed,
    entries.CallEnded,
)


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """The caller's turn that waits for the first sound of its answer."""

    turn: int
    stopped_at: float


class CallCore:
    """One call. Feed it events with `handle`, call `on_deadline` at `deadline()`, perform what it returns in order."""

    def __init__(
        self,
        engine: PhaseEngine,
        *,
        audio_format: AudioFormat,
        clips: ClipCache,
        model: str,
        past: Past | None = None,
        passes_on: bool = False,
        cost_of: Callable[[entries.TokensSpent], float] | None = None,
    ) -> None:
        """
        Args:
            past: what happened before, when the call was in other hands; `resume` goes on from it.
            passes_on: the phone line takes the caller elsewhere when the model is gone.
            cost_of: what tokens of the model cost (US dollars); without it nobody knows what a call costs.
        """
        self.engine = engine
        self.stage = Stage.PREPARING
        self.left_by_caller = False  # the line was not closed by us
        self.speaker = Speaker(audio_format, Playback())
        self._hush = Hush()
        self._unexact = False  # words that should have been exact are the model's to say, whatever it has to wait for
        self._model, self._silence = model, audio_format.silence
        self._out: list[Effect] = []
        self._due: float | None = None  # the deadline, if it is known
        self._due_known = False

        self._configure = False  # the phase changed, and the model does not know it yet
        self._briefing = Briefing(engine)
        self._replying = Replying()
        self._statements = Statements(engine.flow, clips, model=model, audio_format=audio_format)  # go before any reply
        self._waits = Waits()
        self._prepared = False  # the exact words that may be needed at once are rendered, or about to be

        self._to_machine = False  # an answering machine listens: nothing is said but the flow's message
        self._caller_speaking = False
        self._listening = Listening(audio_format)
        self._turn_cut = False  # the caller's turn was closed because their time was over
        self._speech_stopped_at: float | None = None  # of the turn that is not closed yet
        self._unanswered: _Unanswered | None = None
        self._transcripts_due: set[str] = set()
        self._rung = 0
        self._silent_from = 0.0

        self._past, self._passes_on = past, passes_on
        self._bill = Bill(cost_of, past.usd if past is not None else 0.0)
        self._contact = Contact(resumed=past is not None)
        self._memory = Memory.of(entry for _, entry in past.lines) if past else Memory()  # for a model that is new here
        self._reason: EndedReason | None = None
        self._last_words = False  # the goodbye is exact words: the model has nothing to say any more
        self._close_by: float | None = None
        self._close_at_last = 0.0
        self._line_closed_at = 0.0
        self._unheard: list[ports.Truncate] = []  # what the closing line cut, for a model that looks back at the call
        self._analysis = ClosingAnalysis(engine)

    @property
    def reason(self) -> EndedReason | None:
        """Why the call is ending, once that is decided."""
        return self._reason

    @property
    def _transfers(self) -> bool:
        """Whether the caller is to be joined to a human being once they have heard so."""
        return self._reason == "transferred"

    @property
    def hears(self) -> bool:
        """Whether the caller's audio is for the model. It changes nothing else, so it need not pass through here."""
        return self.stage is Stage.TALKING or self.stage is Stage.CLOSING

    @property
    def listens_closely(self) -> bool:
        """Whether the caller's audio has to pass through here, too: it decides whether the bot stops."""
        return self._listening.closely

    @property
    def hushed(self) -> bool:
        """Whether the caller enters a secret: nobody hears them, neither the model nor who records."""
        return self._hush.on

    def audible(self, payload: bytes) -> bytes:
        """The caller's audio as others may hear it: silence in its place while a secret is entered."""
        return self._silence(len(payload)) if self._hush.on else payload

    # ---- time -----------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_deadline` must be called next (same clock as `now`)."""
        if not self._due_known:
            self._due, self._due_known = self._earliest(), True
        return self._due

    def _earliest(self) -> float | None:
        if self.stage is Stage.ENDED:
            return None
        due = [
            self.speaker.playback.deadline(),
            self._replying.retry_at,
            self._close_by,
            self._silence_due(),
            self._commit_due(),
            self._filler_due(),
            self._hold_due(),
            self._roll_over_due(),
            self._hush.deadline(),
            self._listening.deadline(),
        ]
        if self.stage is Stage.TALKING:
            due += [self.engine.deadline(), self._contact.give_up_at()]
        return min((at for at in due if at is not None), default=None)

    def on_deadline(self, now: float) -> list[Effect]:
        """Do what is due at `now`."""
        if self.stage is Stage.ENDED:
            return []
        for ended in self.speaker.expire(now):
            self._utterance_ended(ended, now)
        if self._replying.retry_at is not None and now >= self._replying.retry_at:
            self._replying.retry_at = None
        self._listen(now)
        commit_due = self._commit_due()
        if commit_due is not None and now >= commit_due:
            self._caller_speaking, self._speech_stopped_at = False, None
            self._owe()
        if self.stage is Stage.TALKING:
            self._perform(self.engine.on_deadline(now), now)
            self._climb_silence_ladder(now)
            self._bridge(now)
            self._hold(now)
            self._roll_over(now)
        give_up_at = self._contact.give_up_at()
        if self.stage is Stage.TALKING and give_up_at is not None and now >= give_up_at:
            self._contact.give_up()
            self._apologise(now)
        if self._close_by is not None and now >= self._close_by:
            self._leave_or_end(now)
        return self._drain(now)

    def _commit_due(self) -> float | None:
        """When a turn that the model never closes is given up, so that the caller is not left in silence."""
        if self._speech_stopped_at is None or self.stage not in _AUDIBLE:
            return None
        return self._speech_stopped_at + COMMIT_LIMIT_S

    def _silence_due(self) -> float | None:
        """When the next rung of the silence ladder fires: only while nobody speaks and nobody is about to."""
        if self.stage is not Stage.TALKING or self._caller_speaking or self._replying.owed or self._replying.current:
            return None
        if self.engine.waits_for_keys:  # which has time-outs of its own
            return None
        delay_s = self.engine.silence_delay_s(self._rung)
        if delay_s is None or self.speaker.playback.playing or self.engine.busy or self._statements.waiting:
            return None
        return max(self._silent_from, self.speaker.playback.quiet_since or 0.0) + delay_s

    def _climb_silence_ladder(self, now: float) -> None:
        due = self._silence_due()
        if due is None or now < due:
            return
        rung, self._rung, self._silent_from = self._rung, self._rung + 1, now
        self._perform(self.engine.handle(engine_events.SilenceLasted(rung), now), now)

    def _filler_due(self) -> float | None:
        """When a tool that is at work needs words for the caller who waits."""
        if self.stage is not Stage.TALKING or self._caller_speaking or not self.engine.fillers():
            return None
        if self._statements.waiting or self.speaker.playback.playing:
            return None
        return self._waits.filler_due(self.speaker.playback.quiet_since)

    def _bridge(self, now: float) -> None:
        due = self._filler_due()
        if due is not None and now >= due:
            self._waits.filled()
            words = filler_of(self.engine.flow, self.engine.fillers()[0], self.engine.language)
            self._statements.add(words, filler=True)

    def _watch_wait(self, now: float) -> None:
        """Note what the caller waits for; once no tool works, words that were to bridge the wait are not needed."""
        if not self.engine.busy:
            self._statements.drop_fillers()
        reply, about_to_be = self._replying.current, self._statements.waiting
        owes = (self._replying.owed and not self._waits_for_keys) or self._contact.returning
        if reply is not None:
            owes = self._replying.to_be_heard
        if about_to_be and self._contact.returning:  # what only the next model can render is no word yet
            about_to_be = not self._statements.held_up
        spoken = self.speaker.playback.playing or about_to_be or self._caller_speaking or self.engine.busy
        self._waits.watch(
            now,
            tools=self.engine.busy,
            bridged=self._statements.bridging,
            silent=self.stage is Stage.TALKING and owes and not spoken,
            heard=reply is not None and reply.audible,
        )

    def _hold_due(self) -> float | None:
        """When the caller must hear a word, since the model has none."""
        due = self._waits.hold_due() if self.stage is Stage.TALKING else None
        words = hold_words(self.engine.flow, self.engine.language) if due is not None else None
        return due if words is not None and self._statements.payload(words) is not None else None

    def _hold(self, now: float) -> None:
        due, words = self._hold_due(), hold_words(self.engine.flow, self.engine.language)
        if due is not None and now >= due and words is not None:
            self._waits.held()
            self._statements.add_first(words)

    def _roll_over_due(self) -> float | None:
        if self.stage is not Stage.TALKING:
            return None
        return self._contact.roll_over_at(quiet=self._quiet)

    @property
    def _quiet(self) -> bool:
        """Whether nobody speaks or is about to, nothing is at work, and the model owes no words of the caller."""
        to_say = self._replying.owed or self._replying.current is not None or self._statements.waiting
        to_come = self._caller_speaking or self._transcripts_due or self.engine.busy
        return not (to_say or to_come or self.speaker.playback.playing)

    def _roll_over(self, now: float) -> None:
        """The model's session ends soon: go on with another one."""
        due = self._roll_over_due()
        if due is None or now < due:
            return
        self._without_model(entries.ModelGone("its session ends soon", True, planned=True), now)
        self._contact.roll_over(now)
        self._out.append(ReconnectModel())

    # ---- life -----------------------------------------------------------------------------------------------------

    def prepare(self, opened: entries.CallOpened, now: float) -> list[Effect]:
        """The webhook was answered: have the opening rendered while the phone line opens its stream."""
        self._journal(opened)
        opening = self.engine.flow.opening
        if opening is not None:
            self._statements.render([opening.in_language(self.engine.language)])
        return self._drain(now)

    def connect(self, stream_sid: str, now: float) -> list[Effect]:
        """The caller's leg is here: the call begins, unless it was abandoned."""
        if self.stage is not Stage.PREPARING:
            return []
        self.stage, self._silent_from = Stage.TALKING, now
        self._journal(entries.CallerConnected(stream_sid))
        if self._past is not None and self.engine.state.steps:
            self._go_on(self._past, now)
        else:
            self._perform(self.engine.handle(engine_events.CallStarted(), now), now)
        self._contact.wait(now)
        if self._contact.gone:
            self._leave("model_failed", now)
        return self._drain(now)

    def resume(self, attempt: int, now: float) -> list[Effect]:
        """Take the call over from whoever had it, as `past` tells; instead of `prepare`, and before `connect`.

        Args:
            attempt: the number of the owners so far.
            now: the moment to which `past.at_ms` counts.

        Raises:
            KeyError, ValidationError: the journal does not fit the flow.
        """
        past = self._past
        if past is None:
            raise RuntimeError("a call is resumed from its past, which was not given")
        began = now - past.at_ms / 1000
        answered_ms = past.answered_ms
        if answered_ms is not None:
            told = ((began + at_ms / 1000, entry) for at_ms, entry in past.engine_entries)
            self.engine.restore(told, began + answered_ms / 1000)
        self._journal(entries.CallTakenOver(attempt))
        opening = self.engine.flow.opening
        language = self.engine.language
        said = [opening.in_language(language)] if opening is not None and past.needs_opening(opening) else []
        self._statements.render([*said, *ready_words(self.engine.flow, language)])
        return self._drain(now)

    def _go_on(self, past: Past, now: float) -> None:
        """The caller is back: a word about the interruption, then on where the call was."""
        if past.answerer is not None and past.answerer.by_machine:
            self._leave_message(past.answerer, now)
            return
        flow, language = self.engine.flow, self.engine.language
        opening, unreached = flow.opening, self.engine.state.unreached is not None
        if opening is not None and past.needs_opening(opening):
            self._statements.add(opening.in_language(language))
        elif words := words_when_unreached(flow, language) if unreached else words_of_return(flow, language):
            self._statements.add(words)
        self._perform(self.engine.handle(engine_events.CallResumed(), now), now)
        if self.stage is Stage.TALKING and unreached:
            self._owe(_GO_ON_UNREACHED)
        elif self.stage is Stage.TALKING:
            self._owe(_ANSWER_AFTER_RETURN if past.caller_waits else _ASK_AFTER_RETURN)

    def hand_over(self, now: float) -> list[Effect]:
        """This process stops: let the call go on in another one, if it is one that can."""
        if self.stage in (Stage.PREPARING, Stage.TALKING) or (self.stage is Stage.CLOSING and self._transfers):
            self._let_go(entries.HandedOver(), now)
        return self._drain(now)

    def _let_go(self, why: entries.LegLost | entries.HandedOver, now: float) -> None:
        for ended in self.speaker.cut(now):
            self._utterance_ended(ended, now)
        self._journal(why)
        self.stage = Stage.ENDED
        self._out += [ports.CloseLeg(), LetGo()]

    def abandon(self, reason: EndedReason, now: float) -> list[Effect]:
        """End at once, whatever is under way."""
        if self.stage is not Stage.ENDED:
            self._end(reason if self._transfers else self._reason or reason, now)
        return self._drain(now)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event of either side and say what follows from it."""
        if type(event) is ports.CallerAudio:
            return self._caller_audio(event.payload, now)
        if self.stage is Stage.ENDED:
            return []
        if self._only_goes_on(event, now):
            effects, self._out = self._out, []
            return effects
        self._take(event, now)
        return self._drain(now)

    def _only_goes_on(self, event: Event, now: float) -> bool:
        """Take what is only more of the same, as most events are: nothing is decided by it, and no deadline moves.

        That is more words and audio of an utterance that is heard already, and a mark that is not an utterance's last.
        """
        if type(event) is ports.MarkPlayed:
            return self.speaker.playback.passed(event.name, now - event.ago_ms / 1000)
        if type(event) is ports.ReplyAudio:
            goes_on = self._unanswered is None and self._replying.is_current(event.reply_id) and self.hears
            if goes_on and self.speaker.speaks(event.item_id):
                self._out += self.speaker.add_audio(event.item_id, event.payload, now)
                return True
        elif type(event) is ports.ReplyWords and not event.final:
            if self._replying.is_current(event.reply_id):
                self.speaker.add_words(event.item_id, event.text, final=False)
            return True
        return False

    def _take(self, event: Event, now: float) -> None:
        if self._contact.gone and isinstance(event, _FROM_MODEL):  # one that came too late
            return
        match event:
            case ports.ReplyAudio():
                self._reply_audio(event, now)
            case ports.MarkPlayed(name=name):
                if (ended := self.speaker.echoed(name, now)) is not None:
                    self._utterance_ended(ended, now)
            case ports.ReplyWords():
                if self._replying.is_current(event.reply_id):
                    self.speaker.add_words(event.item_id, event.text, final=event.final)
            case ports.ReplyAudioEnded():
                if self._replying.is_current(event.reply_id):
                    self._out += self.speaker.end(event.item_id)
            case ports.SpeechStarted():
                self._speech_started(now)
            case ports.SpeechStopped():
                self._speech_stopped_at = now
                self._listening.stopped()
            case ports.TurnCommitted(item_id=item_id):
                if self._is_aside(item_id, now):
                    return
                self._turn_committed(item_id, now)
            case ports.CallerTranscript(item_id=item_id, text=text):
                if self._listening.settle(item_id) and not self._turn_after_all(item_id, text, now):
                    return
                self._transcripts_due.discard(item_id)
                self._memory.heard(item_id, text)
                self._perform(self.engine.handle(engine_events.CallerTranscribed(item_id, text), now), now)
            case ports.TranscriptFailed(item_id=item_id, reason=reason):
                if self._listening.settle(item_id):
                    self._turn_committed(item_id, now)
                self._transcripts_due.discard(item_id)
                self._perform(self.engine.handle(engine_events.TranscriptMissed(item_id, reason), now), now)
            case ports.ReplyEnded():
                self._reply_ended(event, now)
            case ToolFinished():
                self._perform(self.engine.handle(event, now), now)
                self._owe()
            case SayWanted(text=text):
                if self.stage is Stage.TALKING:
                    self._statements.add(Say(text))
            case NoteWanted(text=text):
                self._journal(entries.NoteGiven(text))
                self._replying.note(text)
            case EndWanted():
                self._journal(entries.EndAsked())
                self._perform(self.engine.handle(engine_events.EndWanted(), now), now)
            case TransferWanted(target=target):
                self._journal(entries.TransferAsked(target))
                self._perform(self.engine.handle(engine_events.TransferWanted(target), now), now)
            case AnswererFound(entry=entry):
                self._answerer_found(entry, now)
            case MessageTold(entry=sent):
                self._journal(sent)
            case ports.ClipRendered():
                self._clip_rendered(event, now)
            case ports.ClipFailed(key=key, reason=reason):
                self._clip_failed(key, reason, now)
            case ports.KeyPressed(digit=digit):
                self._key_pressed(digit, now)
            case ports.CallerWrote(text=text):
                self._caller_wrote(text, now)
            case ports.Analysed() | ports.AnalysisFailed():
                self._analysed(event, now)
            case ports.CallerLeft(reason=reason):
                self._caller_left(reason, now)
            case ports.ModelReady(expires_in_s=expires_in_s):
                self._model_ready(expires_in_s, now)
            case ports.ModelLost():
                self._model_lost(event, now)
            case ports.ReplyStarted() | ports.ConfigurationRejected() | ports.CallerAudio():
                return

    # ---- an answering machine -------------------------------------------------------------------------------------

    def _answerer_found(self, entry: entries.AnswererKnown, now: float) -> None:
        """It is known who has answered our call: with a machine, the conversation is over."""
        self._journal(entry)
        if entry.by_machine and self.stage is Stage.TALKING:
            self._leave_message(entry, now)

    def _leave_message(self, answerer: entries.AnswererKnown, now: float) -> None:
        """Fall silent, say the flow's message if there is one and it can be left, and close the line once it is heard.

        The message is exact or not said at all: no model speaks to a machine.
        """
        message = self.engine.flow.message if answerer.takes_messages else None
        message = None if message is None else message.in_language(self.engine.language)
        self._barge_in(now)
        self._statements.drop()
        self._to_machine = True
        self._replying.give_up()
        self._caller_speaking, self._speech_stopped_at = False, None
        if message is None:
            self._leave("voicemail", now)
            return
        self._await_goodbye("voicemail", now)
        self._statements.add(message)

    # ---- barge-in -------------------------------------------------------------------------------------------------

    def _speech_started(self, now: float) -> None:
        if self._to_machine and self.stage is Stage.CLOSING:
            return
        self._caller_speaking, self._speech_stopped_at, self._rung = True, None, 0
        if self.stage is Stage.LEAVING:  # the caller's last words; no more audio comes that could close the turn
            self._out.append(ports.CommitAudio())
        elif self.stage in _AUDIBLE and not self.speaker.uninterruptible:
            patience = self.engine.patience
            if patience.stops_after and self.speaker.playback.playing:
                self._listening.begin(patience, now)
            else:
                self._barge_in(now)

    def _caller_audio(self, payload: bytes, now: float) -> list[Effect]:
        if not self.hears:
            return []
        sent = ports.AppendAudio(self.audible(payload))
        if not self._listening.hears(payload):
            return [sent]
        self._barge_in(now)
        return [sent, *self._drain(now)]

    def _listen(self, now: float) -> None:
        """Stop for a caller who has spoken for long enough; take asides whose words do not come for turns."""
        if self._listening.long_enough(now):
            self._barge_in(now)
        for item_id in self._listening.given_up(now):
            self._turn_committed(item_id, now)

    def _barge_in(self, now: float) -> None:
        """The caller speaks: stop what can be stopped, and keep in the conversation only what was heard."""
        self._listening.end()
        self._cancel_reply()
        if not self.speaker.playback.playing:
            return
        self._out.append(ports.ClearPlayback())
        for ended in self.speaker.cut(now):
            if ended.truncatable:
                self._out.append(ports.Truncate(ended.entry.item_id, ended.entry.heard_ms))
            self._utterance_ended(ended, now)

    def _cancel_reply(self) -> None:
        if self._replying.cancel():
            self._out.append(ports.CancelReply())

    # ---- the caller's turns ---------------------------------------------------------------------------------------

    def _is_aside(self, item_id: str, now: float) -> bool:
        """Whether a turn did not stop the bot, which is still speaking: then its words decide what it is."""
        aside = self._listening.committed(item_id, now)
        if not (aside and self.engine.patience.hums and self.speaker.playback.playing):
            self._listening.settle(item_id)
            return False
        self._caller_speaking, self._speech_stopped_at = False, None
        return True

    def _turn_after_all(self, item_id: str, text: str, now: float) -> bool:
        """Whether the words of an aside make it a turn: they say something, or the bot has stopped meanwhile."""
        if is_hum(text) and self.speaker.playback.playing:
            self._journal(entries.CallerHummed(item_id, text))
            return False
        self._turn_committed(item_id, now)
        return True

    def _key_pressed(self, digit: str, now: float) -> None:
        self._journal(entries.KeyPress(MASKED_KEY if self.hushed or self.engine.hides_keys else digit))
        self._rung, self._silent_from = 0, now
        if self.stage is Stage.TALKING:
            self._perform(self.engine.handle(engine_events.KeyPressed(digit), now), now)
            if self.engine.waits_for_keys:
                self._unanswered = None  # whose answer was held back
                if not self.speaker.uninterruptible:
                    self._barge_in(now)  # who is at the keys has heard enough

    def _turn_committed(self, item_id: str, now: float) -> None:
        self._caller_speaking, self._silent_from = False, now
        self._transcripts_due.add(item_id)
        self._memory.turn(item_id)
        cut, self._turn_cut = self._turn_cut, False
        self._perform(self.engine.handle(engine_events.CallerTurnEnded(item_id, cut), now), now)
        stopped_at, self._speech_stopped_at = self._speech_stopped_at, None
        self._unanswered = _Unanswered(self.engine.state.turn, now if stopped_at is None else stopped_at)
        self._owe()

    def _close_turn(self) -> None:
        """The caller's time is over, whether they have finished or not."""
        if self._caller_speaking:
            self._turn_cut = True
            self._out.append(ports.CommitAudio())

    def _caller_wrote(self, text: str, now: float) -> None:
        """A turn in text stops the bot as speech does, and is over at once."""
        if self.stage not in _AUDIBLE or self.hushed:
            return
        if not self.speaker.uninterruptible:
            self._barge_in(now)
        item_id = f"written-{self.engine.state.turn + 1}"
        self._out.append(ports.InsertHeard(text))
        self._rung, self._silent_from = 0, now
        self._memory.turn(item_id)
        self._memory.heard(item_id, text)
        self._perform(self.engine.handle(engine_events.CallerTurnEnded(item_id), now), now)
        self._perform(self.engine.handle(engine_events.CallerTranscribed(item_id, text), now), now)
        self._unanswered = _Unanswered(self.engine.state.turn, now)
        self._owe()

    def _caller_left(self, how: str, now: float) -> None:
        if how == "lost" and (self.stage is Stage.TALKING or (self.stage is Stage.CLOSING and self._transfers)):
            self._let_go(entries.LegLost(), now)
        elif self.stage in _AUDIBLE:
            self._leave("caller_hung_up" if how == "hangup" else "connection_lost", now, by_caller=True)

    # ---- the model's replies --------------------------------------------------------------------------------------

    def _owe(self, note: str = "") -> None:
        if self.stage in _AUDIBLE and not self._to_machine and not self._last_words:
            self._replying.owe(note)

    def _settle(self, now: float) -> None:
        """Say what is to be said next, if nothing stands in the way; close the line when all has been heard."""
        self._watch_wait(now)
        if self.stage is Stage.LEAVING:
            if not (self._caller_speaking or self._transcripts_due or self._replying.current or self.engine.busy):
                self._look_back_or_end(now)
            return
        if self.stage not in _AUDIBLE:
            return
        self._play_statements(now)
        replying = self._replying
        if self._statements.waiting or self._caller_speaking or replying.current or replying.retry_at is not None:
            return
        if replying.owed:
            held = self.engine.busy or self._contact.absent or self.engine.leaves_when_heard or self._waits_for_keys
            if not held:
                self._ask_reply(now)
        elif self.stage is Stage.CLOSING and not self.speaker.playback.playing:
            self._leave(self._reason or "completed", now)

    @property
    def _waits_for_keys(self) -> bool:
        """Whether a reply has to wait until the caller is done with the keys."""
        return self.engine.waits_for_keys and not self._unexact and self.stage is Stage.TALKING

    def _ask_reply(self, now: float) -> None:
        reply_id, notes = self._replying.ask()
        self._unexact = False
        self._out += [ports.InsertSaid(text) for text in self.speaker.untold()]
        self._out += [ports.InsertNote(note) for note in notes]
        tools = self.engine.tools()
        instructions = self.engine.instructions(now)
        self._out.append(ports.Reply(reply_id, instructions, tools, "auto" if tools else "none"))

    def _reply_audio(self, event: ports.ReplyAudio, now: float) -> None:
        reply = self._replying.current
        if reply is None or not self._replying.is_current(event.reply_id) or self.stage not in _AUDIBLE:
            return
        reply.audible = True
        if self._unanswered is not None:
            response_ms = round((now - self._unanswered.stopped_at) * 1000)
            self._journal(entries.TurnAnswered(self._unanswered.turn, response_ms))
            self._unanswered = None
        self._out += self.speaker.add_audio(event.item_id, event.payload, now)

    def _reply_ended(self, event: ports.ReplyEnded, now: float) -> None:
        reply = self._replying.end(event.reply_id)
        if reply is None:
            return
        said = reply.audible and not reply.cancelled and event.status == "completed"
        for call in event.calls:
            self._memory.called(call)
            self._journal(entries.FunctionCalled(call.call_id, call.name, call.arguments))
        if event.calls:
            calls = (engine_events.ToolProposed(call.call_id, call.name, call.arguments) for call in event.calls)
            decided = self.engine.handle(engine_events.ResponseEnded(tuple(calls)), now)
            self._perform(decided, now, goodbye_said=said)
        self._spend(event.usage, now)
        if event.status == "failed":
            self._reply_failed(event.error_code, event.error or "the model gave no reason", now)
        elif event.calls:
            self._replying.succeeded()
            if self.stage is Stage.TALKING and not reply.cancelled:
                self._owe()
        elif not event.spoke and not reply.cancelled:
            self._reply_failed(None, "the reply was empty", now)
        else:
            self._replying.succeeded()

    def _spend(self, usage: ports.Usage | None, now: float) -> None:
        """Write down what a response took of tokens and money; last of all that it brought, as it may end the call."""
        if usage is None:
            return
        self._journal(self._bill.add(usage))
        if self.stage is Stage.TALKING and self._bill.usd is not None:
            self._perform(self.engine.handle(engine_events.MoneySpent(self._bill.usd), now), now)

    def _reply_failed(self, code: str | None, problem: str, now: float) -> None:
        """A failed or empty reply leaves the caller in silence: ask again, a bounded number of times."""
        if self.stage not in _AUDIBLE:
            return
        retried = self._replying.failed(now)
        self._journal(entries.ReplyFailed(code, problem, retried))
        if retried:
            self._owe()
        else:
            self._apologise(now)

    def _apologise(self, now: float) -> None:
        """The model is of no use any more: exact words that were rendered before are all there is to say."""
        if self._to_machine and not self._statements.held_up:  # what is left to say needs no model
            return
        if self._transfers and self.stage is Stage.CLOSING:  # somebody else is about to speak to the caller
            self._replying.give_up()
            self._caller_speaking = False
            if self._statements.held_up:
                self._statements.drop()
            return
        apology = None if self._to_machine else apology_of(self.engine.flow, self.engine.language)
        payload = None if apology is None else self._statements.payload(apology)
        if apology is None or payload is None or self.stage not in _AUDIBLE:
            self._leave("model_failed", now)
            return
        self._cancel_reply()
        self._await_goodbye(self._reason or "model_failed", now)
        self._replying.give_up()
        self._caller_speaking = False
        self._statements.drop()
        self._out += self.speaker.play_statement(apology, payload, now)

    # ---- the model's connection -----------------------------------------------------------------------------------

    def _model_lost(self, event: ports.ModelLost, now: float) -> None:
        """The model's connection broke, or another one could not be had; bounded."""
        self._without_model(entries.ModelGone(event.reason, event.retryable), now)
        if self.stage in (Stage.CLOSING, Stage.LEAVING):
            self._contact.give_up()
        elif self._contact.lost(now, retryable=event.retryable):
            self._out.append(ReconnectModel())
        if self._contact.gone and self.stage in _AUDIBLE:
            self._apologise(now)

    def _without_model(self, gone: entries.ModelGone, now: float) -> None:
        """The model that was there is no more: nothing it was asked for will come."""
        self._journal(gone)
        for item_id in sorted(self._transcripts_due):
            self._perform(self.engine.handle(engine_events.TranscriptMissed(item_id, "the model was lost"), now), now)
        self._transcripts_due.clear()
        self._out += self.speaker.model_lost()
        reply, self._replying.current = self._replying.current, None
        if reply is not None and not reply.cancelled:
            self._owe()
        if self._caller_speaking and self.stage is Stage.TALKING:
            self._owe(_SAY_IT_AGAIN)
        self._caller_speaking, self._speech_stopped_at = False, None

    def _model_ready(self, expires_in_s: float | None, now: float) -> None:
        self._journal(entries.ModelConnected(self._model))
        if self._contact.ready(now, expires_in_s):
            self._configure = False
            self._briefing.anew()
            self._out.append(self._briefing.configuration(now))
            self._out += self._memory.tell()
            self._statements.again()

    def _utterance_ended(self, ended: Ended, now: float) -> None:
        self._journal(ended.entry)
        self._memory.said(ended.entry.heard_text)
        if ended.complete and not self._prepared and self.stage is Stage.TALKING:
            self._prepared = True
            self._statements.render(ready_words(self.engine.flow, self.engine.language))
        if ended.tell_model and ended.entry.heard_text:
            self._out.append(ports.InsertSaid(ended.entry.heard_text))
        if ended.say is not None and ended.say.name:
            self._statement_ended(ended.say, ended.complete, now)

    def _statement_ended(self, say: Say, complete: bool, now: float) -> None:
        over = engine_events.StatementEnded(say.name, say.text, complete)
        self._perform(self.engine.handle(over, now), now)

    # ---- exact statements -----------------------------------------------------------------------------------------

    def _play_statements(self, now: float) -> None:
        while not self._replying.speaks:  # never into a reply's words
            found = self._statements.take(caller_speaks=self._caller_speaking)
            if found is None:
                return
            self._out += self.speaker.play_statement(*found, now)

    def _clip_rendered(self, event: ports.ClipRendered, now: float) -> None:
        if (problem := self._statements.rendered(event)) is not None:
            self._clip_failed(event.key, problem, now)

    def _clip_failed(self, key: str, reason: str, now: float) -> None:
        """What cannot be rendered the model says in a reply; written down is that it was not exact."""
        failed = self._statements.failed(key)
        if failed:
            self._last_words = False  # they are for the model to say after all
        for say in failed:
            self._journal(entries.StatementNotRendered(say.text, reason))
            self._owe(f"Say exactly this, word for word, and nothing else: {say.text}")
            self._unexact = True
            if say.name:  # a model's own words never count as heard
                self._statement_ended(say, False, now)

    # ---- the engine's effects -------------------------------------------------------------------------------------

    def _perform(
        self, effects: Iterable[engine_events.EngineEffect], now: float, *, goodbye_said: bool = False
    ) -> None:
        for effect in effects:
            match effect:
                case engine_events.Write(entry=entry):
                    self._journal(entry)
                    if isinstance(entry, LanguageSwitched):
                        self._statements.render(ready_words(self.engine.flow, entry.language))
                case engine_events.Answer(call_id=call_id, output=output):
                    self._journal(entries.FunctionAnswered(call_id, output))
                    self._out += self._memory.answered(call_id, output)
                case engine_events.RunTool(call_id=call_id, tool=tool, arguments=arguments, key=key):
                    self._out.append(StartTool(call_id, tool, arguments, key))
                case engine_events.ConfigurePhase():
                    self._configure = True
                case engine_events.SpeakExactly(say=say):
                    if not self._to_machine:
                        self._statements.add(say)
                case engine_events.AskReply(note=note):
                    self._owe(note)
                case engine_events.KeepSecret(name=name, text=text):
                    self._out.append(KeepSecret(name, text))
                case engine_events.CloseTurn():
                    self._close_turn()
                case engine_events.Close():
                    self._begin_closing(effect, now, goodbye_said=goodbye_said)

    def _begin_closing(self, close: engine_events.Close, now: float, *, goodbye_said: bool) -> None:
        """The engine ends the call. With a note, a goodbye that the deciding reply has already said is enough."""
        if self.stage is not Stage.TALKING:
            return
        self._await_goodbye(close.reason, now)
        if close.words is not None:
            self._statements.add(close.words)
            self._replying.owe_nothing()
            self._last_words = True
        elif not (close.note and goodbye_said):
            self._owe(close.note)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _await_goodbye(self, reason: EndedReason, now: float) -> None:
        """The call is to end; what is still to be heard is, bounded."""
        self.stage, self._reason = Stage.CLOSING, reason
        self._close_by, self._close_at_last = now + CLOSING_LIMIT_S, now + GOODBYE_LIMIT_S

    def _leave_or_end(self, now: float) -> None:
        """A bound has passed: close the line if it is open, else end. What is being heard is heard out, bounded."""
        heard_by = self.speaker.playback.deadline()
        if self.stage is Stage.CLOSING and heard_by is not None and now < heard_by <= self._close_at_last:
            self._close_by = heard_by
        elif self.stage is Stage.CLOSING:
            self._leave(self._reason or "completed", now)
        elif self._analysis.under_way:
            self._end(self._reason or "caller_hung_up", now)
        else:
            self._look_back_or_end(now)

    def _leave(self, reason: EndedReason, now: float, *, by_caller: bool = False) -> None:
        """Close the line (harmless if it is gone), and wait shortly for the words and calls still under way."""
        self._reason = reason if by_caller and self._transfers else self._reason or reason
        self.left_by_caller = by_caller
        if not by_caller:  # written down before it is done: who finds the stream closed knows that nobody was lost
            self._journal(entries.LineClosed(self._reason))
        for ended in self.speaker.cut(now):
            if ended.truncatable:
                self._unheard.append(ports.Truncate(ended.entry.item_id, ended.entry.heard_ms))
            self._utterance_ended(ended, now)
        self.stage, self._close_by = Stage.LEAVING, now + FAREWELL_LIMIT_S
        self._line_closed_at = now
        self._replying.give_up()
        self._statements.drop()
        self._out.append(ports.CloseLeg())
        if self._caller_speaking:
            self._out.append(ports.CommitAudio())

    def _end(self, reason: EndedReason, now: float) -> None:
        if self.stage in _AUDIBLE:
            self._leave(reason, now)
        self.stage = Stage.ENDED
        self._skip_analysis()
        self._journal(entries.CallEnded(reason))
        self._out.append(Finish(reason))

    # ---- the look back at the call --------------------------------------------------------------------------------

    def _look_back_or_end(self, now: float) -> None:
        """Nothing more is waited for: have the model look back at the call if that is wanted, and end after it."""
        passes_on = self._transfers or (self._passes_on and self._reason == "model_failed")
        if passes_on and not self.left_by_caller:
            self._skip_analysis()
            self.stage = Stage.ENDED
            self._out.append(LetGo())
            return
        if self._analysis.under_way and self._contact.here:
            return
        asked = self._analysis.ask(now) if self._contact.here else None
        if asked is None:
            self._end(self._reason or "caller_hung_up", now)
            return
        self._close_by = self._line_closed_at + ANALYSIS_LIMIT_S
        self._out += [ports.InsertSaid(text) for text in self.speaker.untold()]
        if self._replying.current is None:  # else the item may still grow
            self._out += self._unheard
        self._out.append(asked)

    def _analysed(self, event: ports.Analysed | ports.AnalysisFailed, now: float) -> None:
        self._spend(event.usage, now)
        for entry in self._analysis.take(event, now):
            self._journal(entry)
        if self.stage is Stage.LEAVING and now >= self._line_closed_at + FAREWELL_LIMIT_S:
            self._end(self._reason or "caller_hung_up", now)  # what else was waited for is given up

    def _skip_analysis(self) -> None:
        """The call ends now, and the look back is not to be had any more, if it was not yet."""
        late = "the model took too long" if self._analysis.under_way else "there was no time for it"
        reason = late if self._contact.here else "the model was gone"
        for entry in self._analysis.skip(reason):
            self._journal(entry)

    def _journal(self, entry: Entry) -> None:
        self._out.append(Journal(entry, isinstance(entry, _DURABLE)))

    def _drain(self, now: float) -> list[Effect]:
        self._due_known = False
        self._hush.mind(now, enters_secret=self.engine.enters_secret and self.stage is Stage.TALKING)
        if self._configure:  # once for all that an event changed, and after the answers that belong to the old phase
            self._configure = False
            self._out.append(self._briefing.configuration(now))
        self._settle(now)
        effects, self._out = [*self._out, *self._statements.commands()], []
        if self._contact.absent:  # what it is to know stands in the memory
            return [effect for effect in effects if not isinstance(effect, _MODEL) or type(effect) is ports.AppendAudio]
        return effects


_SAY_IT_AGAIN = "The caller's last words were lost. Ask them to say it again."
_ANSWER_AFTER_RETURN = "The connection is back, and the caller has been told so. Answer what the caller said last."
_ASK_AFTER_RETURN = (
    "The connection is back, and the caller has been told so. What they said meanwhile was lost: "
    "ask your last question again, briefly."
)
_GO_ON_UNREACHED = (
    "The caller could not be connected: nobody was there, and the caller has been told so. Go on with the instructions."
)
_MODEL = get_args(ports.ModelCommand)
_FROM_MODEL = tuple(kind for kind in get_args(ports.ModelEvent) if kind is not ports.ModelLost)
_AUDIBLE = frozenset({Stage.TALKING, Stage.CLOSING})
