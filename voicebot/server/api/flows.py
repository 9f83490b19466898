"""Flows as they are loaded: their form, schema, picture and lint, and how far callers get in them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from voicebot.delivery.report_schema import report_schema
from voicebot.errors import UnknownFlowError
from voicebot.flow.check import check
from voicebot.flow.graph import ANYWHERE, anywhere_lines, box_lines, edges, mermaid
from voicebot.flow.loader import FlowShelf, LoadedFlow
from voicebot.flow.svg import svg
from voicebot.store.contract import CallFilter, Store

from .endpoint import JSON, Content, Endpoint, answer, read_query
from .figures import Reach, count
from .models import (
    FindingShown,
    FlowCheck,
    FlowFault,
    FlowList,
    FlowOutline,
    FlowRow,
    FlowStats,
    GraphQuery,
    PhaseDrawn,
    StatsQuery,
    WayDrawn,
)
from .problems import Wrong, missing, problem

LATELY = timedelta(days=30)
MOST_CHECKED = 100  # versions whose findings are remembered
_OBJECT = {"type": "object"}
_NONE = "'none'"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class FlowEndpoints:
    """The endpoints of flows."""

    def __init__(self, shelf: Callable[[], FlowShelf], store: Store, wall: Callable[[], datetime]) -> None:
        """
        Args:
            shelf: the flows as they are now.
            wall: the time of day, aware UTC.
        """
        self._shelf, self._store, self._wall = shelf, store, wall
        self._checked: dict[tuple[str, str], FlowCheck] = {}

    def endpoints(self) -> list[Endpoint]:
        """One entry per route."""
        text = {"type": "string"}
        return [
            Endpoint(
                path="/flows",
                name="list_flows",
                tag="flows",
                summary="The flows that calls begin with, and files that hold none that can be used.",
                handle=self.find,
                answers={200: Content("All flows.", FlowList)},
            ),
            Endpoint(
                path="/flows/{name}",
                name="show_flow",
                tag="flows",
                summary="A flow's JSON form.",
                handle=self.show,
                answers={200: Content("The flow.", schema=_OBJECT)},
            ),
            Endpoint(
                path="/flows/{name}/schema",
                name="show_schema",
                tag="flows",
                summary="The JSON Schema of the reports of a flow's calls.",
                handle=self.schema,
                answers={200: Content("The schema.", media="application/schema+json", schema=_OBJECT)},
            ),
            Endpoint(
                path="/flows/{name}/graph",
                name="draw_flow",
                tag="flows",
                summary="A flow as a picture (SVG), or as Mermaid text with format=mermaid.",
                handle=self.graph,
                query=GraphQuery,
                answers={200: Content("The drawing.", media="image/svg+xml", schema=text, others=("text/plain",))},
            ),
            Endpoint(
                path="/flows/{name}/outline",
                name="outline_flow",
                tag="flows",
                summary="A flow's phases and the ways between them, for who draws it.",
                handle=self.outline,
                answers={200: Content("What a drawing is made of.", FlowOutline)},
            ),
            Endpoint(
                path="/flows/{name}/check",
                name="check_flow",
                tag="flows",
                summary="What the linter has to say of a flow.",
                handle=self.check,
                answers={200: Content("Its findings.", FlowCheck)},
            ),
            Endpoint(
                path="/flows/{name}/stats",
                name="flow_stats",
                tag="flows",
                summary="How far callers got in a flow: calls by phase, where they were lost, outcomes, versions.",
                handle=self.stats,
                query=StatsQuery,
                answers={200: Content("Figures of the calls.", FlowStats)},
            ),
        ]

    async def find(self, request: web.Request) -> web.StreamResponse:
        """Every flow."""
        shelf = self._shelf()
        faults = [FlowFault(where=one.where, problem=one.problem, mend=one.mend) for one in shelf.problems]
        return answer(FlowList(flows=[_row(one) for one in shelf.flows.values()], problems=faults))

    async def show(self, request: web.Request) -> web.StreamResponse:
        """A flow's JSON form."""
        return web.Response(text=self._loaded(request).document, content_type=JSON)

    async def schema(self, request: web.Request) -> web.StreamResponse:
        """The schema of its reports."""
        loaded = self._loaded(request)
        text = json.dumps(report_schema(loaded.name, loaded.flow), ensure_ascii=False)
        return web.Response(text=text, content_type="application/schema+json")

    async def graph(self, request: web.Request) -> web.StreamResponse:
        """A flow's picture."""
        query, loaded = read_query(request, GraphQuery), self._loaded(request)
        if query.format == "mermaid":
            return web.Response(text=mermaid(loaded.flow), content_type="text/plain")
        text = await asyncio.to_thread(svg, loaded.flow)
        policy = {"Content-Security-Policy": _policy_of(text)}
        return web.Response(text=text, content_type="image/svg+xml", headers=policy)

    async def outline(self, request: web.Request) -> web.StreamResponse:
        """What a flow's picture is made of."""
        loaded = self._loaded(request)
        flow = loaded.flow
        return answer(
            FlowOutline(
                flow=loaded.name,
                version=loaded.version,
                initial_phase=flow.initial_phase,
                phases=[
                    PhaseDrawn(name=one.name, lines=box_lines(flow, one), ends=one.end is not None)
                    for one in flow.phases
                ],
                ways=[
                    WayDrawn(
                        start=None if one.start == ANYWHERE else one.start, end=one.end, label=one.label, kind=one.kind
                    )
                    for one in edges(flow)
                ],
                anywhere=anywhere_lines(flow),
            )
        )

    async def check(self, request: web.Request) -> web.StreamResponse:
        """What is wrong with a flow; worked out once for each version."""
        loaded = self._loaded(request)
        key = loaded.name, loaded.version
        if key not in self._checked:
            findings = await asyncio.to_thread(check, loaded.flow)
            shown = [
                FindingShown(rule=one.rule, severity=one.severity, where=one.where, problem=one.problem, mend=one.mend)
                for one in findings
            ]
            while len(self._checked) >= MOST_CHECKED:
                del self._checked[next(iter(self._checked))]
            self._checked[key] = FlowCheck(version=loaded.version, findings=shown)
        return answer(self._checked[key])

    async def stats(self, request: web.Request) -> web.StreamResponse:
        """How far callers got."""
        query, name = read_query(request, StatsQuery), request.match_info["name"]
        flow = self._shelf().flows.get(name)
        until = query.until if query.until is not None else self._wall()
        since = query.since if query.since is not None else earlier(until, LATELY)
        if since >= until:
            wrong = Wrong(where="query.since", problem="is not before `until`", mend="give an earlier time")
            raise problem(422, "invalid", "no time lies between since and until", errors=[wrong])
        phases = [phase.name for phase in flow.flow.phases] if flow is not None else []
        reach = Reach(name, phases, query.version)
        whole = await count(self._store, CallFilter(flow=name, since=since, until=until), reach.add)
        if flow is None and not reach.is_known:
            raise missing("flow")
        return answer(await asyncio.to_thread(lambda: reach.shown(since, until, whole=whole)))

    def _loaded(self, request: web.Request) -> LoadedFlow:
        try:
            return self._shelf().get(request.match_info["name"])
        except UnknownFlowError as exc:
            raise missing("flow") from exc


def _policy_of(picture: str) -> str:
    """For who opens a picture by itself: nothing but its own style (CSP 3, 6.7.3.2: by its hash)."""
    digests = (hashlib.sha256(style.encode()).digest() for style in _STYLE.findall(picture))
    allowed = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    return f"default-src 'none'; style-src {allowed or _NONE}; sandbox"


def earlier(moment: datetime, by: timedelta) -> datetime:
    """So much before; at the beginning of time, less."""
    try:
        return moment - by
    except OverflowError:
        return moment


def _row(loaded: LoadedFlow) -> FlowRow:
    flow = loaded.flow
    return FlowRow(
        name=loaded.name,
        version=loaded.version,
        goal=flow.goal,
        languages=list(flow.languages),
        numbers=list(flow.numbers),
        phases=[phase.name for phase in flow.phases],
        initial_phase=flow.initial_phase,
        observations=list(flow.specs),
        targets=list(flow.targets),
    )
