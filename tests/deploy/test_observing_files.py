"""Alert rules, dashboard and the operators' page speak of metrics that exist, with labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicebot.observe.families import Families
from voicebot.observe.registry import Family, Gauge

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((DEPLOY / "grafana" / "voicebot.json").read_text(encoding="utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
UP = Gauge("voicebot_worker_up", "", ("worker",))
FAMILIES: dict[str, Family] = {one.name: one for one in (*Families().own, *Families().shared, UP)}
ADDED_BY_SCRAPE = {"instance", "job", "worker", "le"}
DURATION = re.compile(r"([0-9]+(ms|[smhdwy]))+")
WORDS_OF_PROMQL = {
    *("sum", "max", "min", "by", "without", "rate", "increase", "and", "or", "unless", "on", "time"),
    *("histogram_quantile", "label_values"),
}


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries() -> list[tuple[str, str]]:
    """Everything that is asked of Prometheus, with who asks."""
    shown = [(panel["title"], target["expr"]) for panel in panels() for target in panel.get("targets", ())]
    return [*((rule["alert"], rule["expr"]) for rule in ALERTS), *shown]


QUERIES = [pytest.param(expr, id=f"{number} {name}") for number, (name, expr) in enumerate(queries())]


def series_of(expr: str) -> Iterator[tuple[str, str]]:
    """Names of series in a query, with what stands in the braces behind each."""
    for found in re.finditer(r"\b(voicebot_[a-z_]+)(?:\{([^}]*)\})?", expr):
        yield found[1], found[2] or ""


def family_of(name: str) -> Family:
    """The metric that a series is of; a histogram's have an ending."""
    if name in FAMILIES:
        assert FAMILIES[name].kind != "histogram", f"{name} is asked for without _bucket, _sum or _count"
        return FAMILIES[name]
    base, _, ending = name.rpartition("_")
    assert ending in ("bucket", "sum", "count"), f"{name} is no metric of ours"
    assert FAMILIES[base].kind == "histogram"
    return FAMILIES[base]


@pytest.mark.parametrize("expr", QUERIES)
def test_query_asks_for_what_there_is(expr: str) -> None:
    known: set[str] = set(ADDED_BY_SCRAPE)
    for name, selector in series_of(expr):
        family = family_of(name)
        labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= {*family.labels, *ADDED_BY_SCRAPE}
        known |= set(family.labels)
    for grouped in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expr):
        assert {label.strip() for label in grouped.split(",")} <= known


@pytest.mark.parametrize("expr", QUERIES)
def test_query_is_well_formed(expr: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expr.count(opening) == expr.count(closing)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without)\s*\([^)]*\)|\"[^\"]*\"", "", expr)
    words = set(re.findall(r"[a-z_]+", bare)) - {name for name, _ in series_of(expr)}
    assert words <= WORDS_OF_PROMQL | {"up"}
    for span in re.findall(r"\[([^\]]*)\]", expr):
        assert span in ("$__rate_interval", "$__range") or DURATION.fullmatch(span)
    counters = [name for name, _ in series_of(expr) if name.endswith(("_total", "_bucket", "_count", "_sum"))]
    assert len(counters) <= expr.count("rate(") + expr.count("increase(")


def test_alert_rules_have_the_form_that_prometheus_reads() -> None:
    assert set(RULES) == {"groups"}
    for group in RULES["groups"]:
        assert set(group) == {"name", "rules"}
    for rule in ALERTS:
        assert (
            {"alert", "expr", "labels", "annotations"} <= set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        )
        assert re.fullmatch(r"Voicebot[A-Za-z]+", rule["alert"])
        assert DURATION.fullmatch(rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        for text in rule["annotations"].values():
            assert set(re.findall(r"\{\{(.*?)\}\}", text)) <= TEMPLATES
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))


TEMPLATES = {
    *(f" $value{how} " for how in ("", " | humanize", " | humanizeDuration", " | humanizePercentage")),
    *(f" $labels.{label} " for label in ("instance", "worker", "reason", "code", "flow", "tool", "state", "event")),
}


def test_labels_that_a_summary_names_are_kept_by_its_query() -> None:
    for rule in ALERTS:
        named = set(re.findall(r"\$labels\.([a-z]+)", str(rule["annotations"])))
        kept = {one.strip() for some in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for one in some.split(",")}
        assert named <= kept or (rule["alert"] == "VoicebotDown" and named == {"instance"})


def test_panels_have_places_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)\}?", json.dumps(DASHBOARD["panels"]))) - {"__rate_interval", "__range"}
    assert used == variables


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {family_of(name).name for _, expr in queries() for name, _ in series_of(expr)}
    assert FAMILIES.keys() - shown == set()


def test_operators_page_lists_every_metric_with_its_labels() -> None:
    page = (DEPLOY / "README.md").read_text(encoding="utf-8").split("<!-- metrics -->")[1].split("<!-- end -->")[0]
    rows = re.findall(r"^\| `(voicebot_[a-z_]+)` \| ([^|]*)\|", page, re.MULTILINE)
    listed = {name: tuple(filter(None, labels.strip().split(", "))) for name, labels in rows}
    assert listed == {name: family.labels for name, family in FAMILIES.items()}
