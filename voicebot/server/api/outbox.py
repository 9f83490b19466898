"""Deliveries, as an operator looks after them; and figures of the whole service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from voicebot.observe.prices import Price
from voicebot.store.contract import CallFilter, Store

from .endpoint import Content, Endpoint, answer, read_query
from .figures import Hours, count
from .flows import earlier
from .models import DeliveriesQuery, DeliveryPage, DeliveryRow, Overview, OverviewQuery
from .pages import cursor_of, place_of
from .problems import Wrong, missing, problem
from .shown import delivery_row

A_DAY = timedelta(days=1)
LONGEST = timedelta(days=31)


class OutboxEndpoints:
    """The endpoints of deliveries and figures."""

    def __init__(
        self, store: Store, wall: Callable[[], datetime], wake: Callable[[], None], price: Price | None
    ) -> None:
        """
        Args:
            wall: the time of day, aware UTC.
            wake: tells the worker that there is something to deliver.
            price: of the model's tokens, if it is known.
        """
        self._store, self._wall, self._wake, self._price = store, wall, wake, price

    def endpoints(self) -> list[Endpoint]:
        """One entry per route."""
        return [
            Endpoint(
                path="/deliveries",
                name="list_deliveries",
                tag="deliveries",
                summary="What is posted to receivers, latest first.",
                handle=self.find,
                query=DeliveriesQuery,
                answers={200: Content("A page of deliveries.", DeliveryPage)},
            ),
            Endpoint(
                method="POST",
                path="/deliveries/{webhook_id}/retry",
                name="retry_delivery",
                tag="deliveries",
                summary="Send it again from the first attempt on, whatever its state; a disabled receiver is enabled.",
                handle=self.retry,
                scope="operate",
                answers={202: Content("It is sent at once.", DeliveryRow)},
                audited=True,
            ),
            Endpoint(
                path="/overview",
                name="overview",
                tag="figures",
                summary="Calls, outcomes, waits, cost and dead air by the hour.",
                handle=self.overview,
                query=OverviewQuery,
                answers={200: Content("The hours, and all of them together.", Overview)},
            ),
        ]

    async def find(self, request: web.Request) -> web.StreamResponse:
        """A page of deliveries."""
        query = read_query(request, DeliveriesQuery)
        place = place_of(query.cursor)
        found = await self._store.deliveries(query.limit, query.state, call_sid=query.call_sid, before=place)
        following = cursor_of(found[-1].created, found[-1].webhook_id) if len(found) == query.limit else None
        return answer(DeliveryPage(deliveries=[delivery_row(one) for one in found], next=following))

    async def retry(self, request: web.Request) -> web.StreamResponse:
        """Send one again."""
        webhook_id = request.match_info["webhook_id"]
        if not webhook_id.isprintable() or not await self._store.requeue(webhook_id, self._wall()):
            raise missing("delivery")
        self._wake()
        delivery = await self._store.delivery(webhook_id)
        if delivery is None:
            raise missing("delivery")
        return answer(delivery_row(delivery), 202)

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """Figures by the hour."""
        query = read_query(request, OverviewQuery)
        until = query.until if query.until is not None else self._wall()
        since = query.since if query.since is not None else earlier(until, A_DAY)
        if not timedelta(0) < until - since <= LONGEST:
            wrong = Wrong(where="query.from", problem="is not within 31 days before `to`", mend="ask for less")
            raise problem(422, "invalid", "no such time can be looked at", errors=[wrong])
        figures = Hours(since, until, self._price)
        whole = await count(self._store, CallFilter(since=since, until=until), figures.add)
        backlog = await self._store.backlog()
        live = await self._store.find_calls(CallFilter(ended=False), 10_000)
        hours, total = await asyncio.to_thread(figures.shown)
        return answer(
            Overview(
                since=since,
                until=until,
                whole=whole,
                hours=hours,
                total=total,
                live=len(live),
                pending=backlog.pending,
                dead=backlog.dead,
            )
        )
