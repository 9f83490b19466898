"""Where a call's documents come from: signed requests, the fallback URL, and what counts as TwiML."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from .carrier import Answer
from .twiml_player import Document, Fetch, Say, TwimlError, parse_twiml

MOST_DOCUMENTS = 100  # in one call; more are a loop
_TWIML_TYPES = ("text/xml", "application/xml", "text/html", "application/xhtml+xml")

Ask = Callable[[str, Mapping[str, str], str], Awaitable[Answer]]  # url, form fields, method


class TwimlSource:
    """Fetches documents.

    Args:
        ask: sends one request.
        fallback_url: asked, with what went wrong, when a document cannot be had or read.
    """

    def __init__(self, ask: Ask, fallback_url: str | None) -> None:
        self._ask, self._fallback_url = ask, fallback_url
        self._fetched = 0

    async def fetch(self, order: Fetch, fields: Mapping[str, str]) -> Document:
        """Get the document that `order` asks for; `fields` go with every request of the call.

        Raises:
            TwimlError: neither it nor the fallback can be had.
        """
        self._fetched += 1
        if self._fetched > MOST_DOCUMENTS:
            raise TwimlError("12100", f"more than {MOST_DOCUMENTS} documents in one call")
        answer = await self._ask(order.url, {**fields, **dict(order.fields)}, order.method)
        return await self.read(answer, fields)

    async def read(self, answer: Answer, fields: Mapping[str, str]) -> Document:
        """Read a document that was answered, or ask for the fallback's.

        Raises:
            TwimlError: neither can be had.
        """
        try:
            return _document(answer)
        except TwimlError as broken:
            if self._fallback_url is None:
                raise
            wrong = {"ErrorCode": broken.code, "ErrorUrl": answer.url}
            return _document(await self._ask(self._fallback_url, {**fields, **wrong}, "POST"))


def _document(answer: Answer) -> Document:
    if answer.error:
        code, _, problem = answer.error.partition(" - ")
        raise TwimlError(code, problem)
    if answer.status == 204:
        return Document(())
    if answer.content_type == "text/plain" and not answer.body.lstrip().startswith("<"):
        return Document((Say(answer.body.strip()),))  # read aloud
    if answer.content_type not in (*_TWIML_TYPES, "text/plain"):
        raise TwimlError("12300", f"invalid content type {answer.content_type}")
    return parse_twiml(answer.body, answer.url)
