"""Metrics as text: what Prometheus' own parser reads of it, and that nobody can make it grow without bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from voicebot.observe.registry import MOST_SERIES, OTHER, Counter, Family, Gauge, Histogram, exposition, merged

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    """As Prometheus' own parser reads it; each metric stands once."""
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def shown(*families: Family, worker: str = "") -> Samples:
    return parsed(exposition(families, worker))


def test_counter_and_gauge_are_read_back() -> None:
    calls, active = Counter("calls_total", "Calls.", ("flow",)), Gauge("active", "Now.")
    calls.add("a")
    calls.add("b", by=2.5)
    calls.add("a")
    active.set(3)
    assert shown(calls, active) == {
        ("calls_total", (("flow", "a"),)): 2.0,
        ("calls_total", (("flow", "b"),)): 2.5,
        ("active", ()): 3.0,
    }
    assert (calls.value("a"), calls.value("c"), active.value()) == (2, 0, 3)


def test_metrics_without_labels_begin_at_zero() -> None:
    assert shown(Counter("x_total", "X."), Gauge("y", "Y.")) == {("x_total", ()): 0, ("y", ()): 0}
    assert shown(Histogram("z", "Z.", (1,)))["z_count", ()] == 0


def test_histogram_counts_up_to_each_bound() -> None:
    times = Histogram("t_seconds", "Times.", (0.1, 1), ("flow",))
    for value in (0.05, 0.1, 0.5, 1, 7):
        times.observe(value, "a")
    found = shown(times)
    buckets = [found["t_seconds_bucket", (("flow", "a"), ("le", bound))] for bound in ("0.1", "1", "+Inf")]
    assert buckets == [2, 4, 5]
    assert found["t_seconds_sum", (("flow", "a"),)] == 8.65
    assert found["t_seconds_count", (("flow", "a"),)] == times.count("a") == 5


@given(st.text(max_size=80), st.text(alphabet='"\\\n# HELP{}x', max_size=20))
def test_any_label_is_read_back_as_one_line(text: str, awkward: str) -> None:
    calls = Counter("calls_total", "Calls.", ("flow",))
    calls.add(awkward + text.replace("\r", ""))
    (sample,) = [line for line in exposition([calls]).split("\n") if line and not line.startswith("#")]
    assert sample.endswith(" 1")
    assert len(parsed(merged([exposition([calls], "1"), exposition([calls], "2")]))) == 2


def test_series_past_the_bound_count_together() -> None:
    calls = Counter("calls_total", "Calls.", ("flow", "end"))
    times = Histogram("t", "T.", (1,), ("flow",))
    for number in range(MOST_SERIES + 50):
        calls.add(f"flow {number}", "x")
        times.observe(1, f"flow {number}")
    assert calls.value(OTHER, OTHER) == times.count(OTHER) == 50
    assert len(shown(calls)) == MOST_SERIES + 1
    calls.add("flow 3", "x")
    assert calls.value("flow 3", "x") == 2


def test_long_labels_are_clipped_to_one_series() -> None:
    calls = Counter("calls_total", "Calls.", ("flow",))
    for _ in range(2):
        calls.add("x" * 1000)
    assert shown(calls) == {("calls_total", (("flow", "x" * 64),)): 2}


def test_workers_stand_side_by_side() -> None:
    ours, theirs = Counter("calls_total", "Calls.", ("flow",)), Counter("calls_total", "Calls.", ("flow",))
    ours.add("a")
    theirs.add("a", by=5)
    theirs.add("b")
    text = merged([exposition([ours, Gauge("up", "Up.")], "1"), exposition([theirs], "2"), ""])
    assert parsed(text) == {
        ("calls_total", (("flow", "a"), ("worker", "1"))): 1,
        ("calls_total", (("flow", "a"), ("worker", "2"))): 5,
        ("calls_total", (("flow", "b"), ("worker", "2"))): 1,
        ("up", (("worker", "1"),)): 0,
    }
    assert text.count("# TYPE calls_total counter") == 1
