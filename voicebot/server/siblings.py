"""The workers of one machine know each other's metrics, so that a scrape of the common port tells of all of them.

Each worker listens in a folder of the supervisor's, which nobody else can enter, and answers whoever connects with its
metrics. The one that is scraped asks the others at once. One that does not answer (it has died, or hangs) is missing,
and the answer says so: `voicebot_worker_up` is 0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from voicebot.log_events import named
from voicebot.observe.registry import Gauge, exposition, merged

log = logging.getLogger(__name__)

ANSWER_LIMIT_S = 2.0
LONGEST_BYTES = 8 * 2**20


def _socket_of(folder: Path, number: int) -> Path:
    return folder / f"{number}.sock"


class Siblings:
    """This worker among its siblings."""

    def __init__(self, folder: Path, number: int) -> None:
        """`folder`: where they meet; its sockets are named by the workers' numbers."""
        self._folder, self.number = folder, number

    @asynccontextmanager
    async def answering(self, text: Callable[[], str]) -> AsyncIterator[None]:
        """Answer the others with `text()` meanwhile."""

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    writer.write(text().encode())
                    await writer.drain()
            writer.close()

        path = _socket_of(self._folder, self.number)
        async with AsyncExitStack() as open_until_the_end:
            try:
                path.unlink(missing_ok=True)  # of who had this number and was killed
                server = await asyncio.start_unix_server(answer, path)
                open_until_the_end.callback(path.unlink, missing_ok=True)
                open_until_the_end.callback(server.close)
            except OSError as exc:  # the folder is gone, or its path too long: calls are worth more than numbers
                log.error("worker %d cannot be asked for metrics: %s", self.number, exc, extra=named("worker_silent"))
            yield

    async def with_others(self, own: str) -> str:
        """The metrics of all; `own` are ours."""
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.sock"))
        others = [number for number in numbers if number != self.number]
        texts = await asyncio.gather(*map(self._ask, others))
        up = Gauge("voicebot_worker_up", "0 for a worker that does not tell its metrics.", ("worker",))
        for number, text in zip([self.number, *others], [own, *texts], strict=True):
            up.set(bool(text), str(number))
        return exposition([up]) + merged([own, *texts])

    async def _ask(self, number: int) -> str:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reader, writer = await asyncio.open_unix_connection(_socket_of(self._folder, number))
                try:
                    return (await _all(reader)).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as exc:
            log.warning("worker %d does not tell its metrics: %s", number, exc, extra=named("worker_silent"))
            return ""


async def _all(reader: asyncio.StreamReader) -> bytes:
    """Up to the end, bounded."""
    chunks, size = [], 0
    while size < LONGEST_BYTES and (chunk := await reader.read(2**16)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
