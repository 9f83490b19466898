"""The API put together: every endpoint that programs may use, their routes, and the document of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from aiohttp import web

from ..metrics_routes import MetricsRoutes
from ..outbound_routes import CallBody, OutboundRoutes
from ..status_routes import StatusRoutes
from . import reference
from .endpoint import KEY_HEADER, Content, Endpoint, Gate, routes
from .models import OrderShown
from .openapi import document

_OBJECT = {"type": "object"}
_TEXT = {"type": "string"}


class Site:
    """The endpoints of the API. Whoever has more gives them too: they are routed and documented with the rest."""

    def __init__(self, endpoints: Iterable[Endpoint], gate: Gate, *, version: str) -> None:
        """
        Args:
            gate: what stands before all of them.
            version: as the document says.
        """
        self._gate, self._version = gate, version
        self.endpoints = (*endpoints, *self._of_itself())

    def routes(self) -> list[web.RouteDef]:
        """One line per route."""
        return routes(self.endpoints, self._gate)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return document(self.endpoints, version=self._version)

    @cached_property
    def _page(self) -> str:
        return reference.page(self.document)

    def _of_itself(self) -> list[Endpoint]:
        page = Content("The page.", media="text/html", schema=_TEXT)
        return [
            _open("/openapi.json", "openapi", "This document.", self._show, Content("The document.", schema=_OBJECT)),
            _open("/docs", "docs", "This document as a page to read.", self._read, page),
            _open(reference.STYLE_PATH, "docs_style", "How the page looks.", self._style, _css()),
        ]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.document)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": reference.PAGE_POLICY}
        return web.Response(text=self._page, content_type="text/html", headers=headers)

    async def _style(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=reference.STYLE, content_type="text/css", headers={"Cache-Control": "max-age=3600"})


def order_endpoints(placing: OutboundRoutes) -> list[Endpoint]:
    """Calls that are ordered."""
    shown = Content("How the order stands.", OrderShown)
    return [
        Endpoint(
            method="POST",
            path="/calls",
            name="place_call",
            tag="calls that are placed",
            summary="Have a number called. The same Idempotency-Key gives the same call again.",
            handle=placing.place,
            scope="operate",
            body=CallBody,
            headers=KEY_HEADER,
            answers={201: shown, 502: Content("The phone line would not place it; the order is reported.", OrderShown)},
            problems={
                400: "The body is no JSON.",
                403: "The token's scope is less than operate; or `code` not_allowed, do_not_call, hours.",
                404: "`code` flow: there is no such flow.",
                409: "`code` line_busy, key_used.",
                422: "Something of the request cannot be used; or `code` number, no_number.",
                429: "Too many requests; or `code` rate: too many calls a minute.",
                503: "The store does not answer; or `code` no_account, no_place.",
            },
            audited=True,
        ),
        Endpoint(
            path="/calls/placed/{order_id}",
            name="show_order",
            tag="calls that are placed",
            summary="What has come of a call that was ordered.",
            handle=placing.show,
            answers={200: shown},
        ),
    ]


def operator_endpoints(status: StatusRoutes, metrics: MetricsRoutes) -> list[Endpoint]:
    """What load balancers and scrapers ask."""
    return [
        _open("/healthz", "health", "The process answers.", status.health, Content("It does.", schema=_OBJECT)),
        Endpoint(
            path="/readyz",
            name="ready",
            tag="operation",
            summary="Whether a new call would be taken.",
            handle=status.ready,
            scope=None,
            answers={200: Content("It would.", schema=_OBJECT), 503: Content("It would not.", schema=_OBJECT)},
        ),
        Endpoint(
            path="/metrics",
            name="metrics",
            tag="operation",
            summary="Figures for Prometheus. With tokens set, one of scope read; without, only from near.",
            handle=metrics.metrics,
            scope=None,
            answers={200: Content("Prometheus' text format.", media="text/plain", schema=_TEXT)},
            problems={
                401: "No token, or a wrong one.",
                403: "From afar, with no token set.",
                429: "Too many wrong tokens.",
            },
        ),
    ]


def _open(path: str, name: str, summary: str, handle: Callable[[web.Request], Any], content: Content) -> Endpoint:
    return Endpoint(
        path=path,
        name=name,
        tag="operation",
        summary=summary,
        handle=handle,
        scope=None,
        answers={200: content},
    )


def _css() -> Content:
    return Content("The style.", media="text/css", schema=_TEXT)
