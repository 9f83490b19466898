"""`voicebot chat`: somebody at a terminal talks through a flow; phases and observations show as they change."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from voicebot.call.entries import Entry
from voicebot.call.ports import CallerLeft, CallerWrote, KeyPressed
from voicebot.engine.entries import CallerSaid, PhaseEntered
from voicebot.errors import LegLostError, ModelUnavailableError
from voicebot.flow.loader import LoadedFlow
from voicebot.flow.tools import Tool

from .lines import Lines
from .screen import Row, Screen
from .show import Shown, report_rows, short
from .talk import ModelAccess, Talk

_WIDTH = 100  # characters of a line of prose
HELP = (
    ("/state", "where the call stands: phase, what is known, what is missing"),
    ("/silence", "say nothing, for as long as the flow's next rung of silence takes"),
    ("/key 1", "press a key of the telephone: 0-9 * #"),
    ("/hangup", "hang up (as Ctrl-D does), and see the report"),
    ("/quit", "leave at once, without a report"),
)


class Server(Protocol):
    """A Realtime server: `url` is where it listens."""

    @property
    def url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _RemoteServer:
    """A server that runs without our doing."""

    url: str


@dataclass(frozen=True, slots=True)
class Company:
    """Whom the caller speaks with. `introduction` says so, and what it cannot do."""

    server: AbstractAsyncContextManager[Server]
    api_key: str = field(repr=False)
    model: str
    introduction: str


def real_model(url: str, api_key: str, model: str) -> Company:
    """The model of a Realtime server, in text."""
    where = urlsplit(url).hostname
    introduction = f"You speak with the real model, {model} at {where}, in text: every reply costs tokens."
    return Company(nullcontext(_RemoteServer(url)), api_key, model, introduction)


class Terminal:
    """One chat on one screen."""

    def __init__(
        self, loaded: LoadedFlow, access: ModelAccess, *, caller: str | None, screen: Screen, lines: Lines
    ) -> None:
        """
        Args:
            lines: what the caller types.
        """
        self._screen, self._lines = screen, lines
        self._typed_here = lines.from_terminal and screen.is_terminal  # what is typed shows already
        self._shown = Shown([name for name, one in loaded.functions.items() if isinstance(one, Tool)])
        self._talk = Talk(loaded, access, caller=caller, on_entry=self._show)
        self._standing = ""
        self._quit = False

    async def run(self) -> None:
        """Talk until the call is over, then show what came of it.

        Raises:
            LegLostError: nobody reads the output any more.
            ModelUnavailableError: the model could not be had, or failed for good.
        """
        unread = False
        with _log_rows(self._screen) as log:
            await self._talk.reach()
            log.setLevel(logging.WARNING)
            try:
                await self._talk.run(self._type)
            except* LegLostError:
                unread = True
        if unread:
            raise LegLostError("nobody reads the output any more")
        failure = self._talk.failure
        if not self._quit and (failure is None or self._talk.core.engine.state.turn):
            self._conclude()
        if failure is not None:
            raise ModelUnavailableError(f"the model is gone: {failure}", retryable=False)

    # ---- the caller's side -------------------------------------------------------------------------------------------

    async def _type(self) -> None:
        while True:
            await self._talk.turn()
            self._show_standing()
            if self._typed_here:
                self._screen.prompt("caller")
            line = await self._lines.next()
            if line is None:
                if self._typed_here:
                    self._screen.line()
                self._talk.tell(CallerLeft("hangup"))
                return
            if (words := line.strip()) and not self._take(words):
                return

    def _take(self, words: str) -> bool:
        """Do what was typed; False when nothing more is to be read."""
        command, _, argument = words.partition(" ")
        if command.startswith("/") and not self._typed_here:
            self._screen.row(Row("typed", words, style="dim"))
        match command:
            case "/hangup":
                self._talk.tell(CallerLeft("hangup"))
                return False
            case "/quit":
                self._quit = True
                self._talk.tell(CallerLeft("hangup"))
                return False
            case "/state":
                self._show_state()
            case "/silence":
                if not self._talk.keep_silent():
                    self._screen.row(Row("", "the flow's silence ladder has no rung left", style="dim"))
            case "/key":
                self._press(argument.strip())
            case "/help":
                for usage, meaning in HELP:
                    self._screen.row(Row(usage, meaning))
            case _ if command.startswith("/"):
                self._screen.row(Row("", f"there is no {command}; /help lists what there is", style="dim"))
            case _:
                self._talk.tell(CallerWrote(words))
        return True

    def _press(self, keys: str) -> None:
        if re.fullmatch(r"[0-9*#A-D]+", keys):
            for key in keys:
                self._talk.tell(KeyPressed(key))
        else:
            self._screen.row(Row("", "name the keys, as in /key 1 or /key 1234#", style="dim"))

    # ---- what is shown -----------------------------------------------------------------------------------------------

    def _show(self, entry: Entry) -> None:
        if isinstance(entry, PhaseEntered):
            self._screen.rule(f"phase: {entry.phase} ({entry.cause})")
        elif not (self._typed_here and isinstance(entry, CallerSaid)) and (row := self._shown.row(entry)) is not None:
            self._screen.row(row)

    def _show_standing(self) -> None:
        """How far the call is, if that has changed since the caller last spoke."""
        engine = self._talk.core.engine
        missing = ", ".join(spec.name for spec in engine.missing())
        standing = f"{engine.progress():.0%} done" + (f"; still to find out here: {missing}" if missing else "")
        if standing != self._standing:
            self._standing = standing
            self._screen.row(Row("", standing, style="dim"))

    def _show_state(self) -> None:
        engine = self._talk.core.engine
        self._screen.row(Row("phase", engine.phase.name, f"({' → '.join(engine.state.path)})", "magenta"))
        self._screen.row(Row("progress", f"{engine.progress():.0%}"))
        for name, value in engine.known.items():
            self._screen.row(Row("known", f"{name} = {short(value)}", style="blue"))
        for spec in engine.missing():
            agreed = "(the caller has not agreed to it yet)" if spec.name in engine.known else ""
            self._screen.row(Row("missing", f"{spec.name}: {spec.description}", agreed, "yellow"))
        for criterion in engine.phase.success_criteria:
            holds = engine.standing.holds(criterion)
            self._screen.row(Row("criterion", str(criterion), "(holds)" if holds else "(does not hold yet)"))

    def _conclude(self) -> None:
        data = self._talk.report()
        self._screen.rule("the call has ended; its report says:")
        for row in report_rows(data):
            self._screen.row(row)


def run_chat(loaded: LoadedFlow, company: Company, *, caller: str | None) -> None:
    """Talk through a flow at this process's terminal.

    Args:
        caller: the caller's number (E.164); None if it is withheld.

    Raises:
        LegLostError: nobody reads the output any more.
        ModelUnavailableError: the model could not be had, or failed for good.
    """
    lines = Lines(sys.stdin.fileno() if sys.stdin is not None else -1)
    asyncio.run(_chat(loaded, company, caller, Screen(sys.stdout), lines))


async def _chat(loaded: LoadedFlow, company: Company, caller: str | None, screen: Screen, lines: Lines) -> None:
    async with company.server as server:
        screen.line(f"{loaded.name}: {loaded.flow.goal}", "bold")
        screen.line(textwrap.fill(company.introduction, _WIDTH))
        screen.line(
            "You are the caller. The flow's tools and handlers run for real; no report is stored or sent.\n"
            "No time limit holds. Type what the caller says. /help lists commands; Ctrl-D hangs up."
        )
        access = ModelAccess(server.url, company.api_key, company.model)
        await Terminal(loaded, access, caller=caller, screen=screen, lines=lines).run()


@contextmanager
def _log_rows(screen: Screen) -> Iterator[logging.Handler]:
    """Show what is logged, as of a tool of the author's that broke, from the level on that is set."""
    log, handler = logging.getLogger("voicebot"), _LogRows(screen)
    log.addHandler(handler)
    try:
        yield handler
    finally:
        log.removeHandler(handler)


class _LogRows(logging.Handler):
    """Log records as rows."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.CRITICAL + 1)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        self._screen.row(Row("log", record.getMessage(), style="bold red"))
