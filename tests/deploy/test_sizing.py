"""The table of sizes for operators follows from the figures beside it, and the deploys keep to them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGE = (DEPLOY / "README.md").read_text(encoding="utf-8")
CALL_S = 180.0  # three minutes
SPARE = 10  # one core more for each ten
SQLITE_UP_TO = 200  # calls, for which there is a choice


def figure(pattern: str) -> float:
    """The number that the page states in these words."""
    found = re.search(pattern, PAGE)
    assert found is not None, pattern
    return float(found[1].replace(",", ""))


CALLS_A_CORE = figure(r"Plan with \*\*(\d+) calls a core")
CORE_S = figure(r"\| ([\d.]+) ms a second of a call, uplink") / 1e3
CALLS_A_REDIS = figure(r"one Redis has room for ([\d,]+) calls")
REDIS_S = figure(r"within their scripts\), (\d+) ms of processor") / 1e3
PROCESS_GB = figure(r"\| (\d+) MB a process") / 1e3
CALL_GB = figure(r"a call (\d+) KiB \(`pcm`\)") * 1024 / 1e9
KEPT_GB = figure(r"(\d+) kB stay in memory") / 1e6


def rows() -> list[list[str]]:
    table = PAGE.split("### How many of what\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row[0]))
def test_row_follows_from_the_figures(row: list[str]) -> None:
    calls, cores, spare, memory, stores = row
    many = int(calls.replace(",", ""))
    assert int(cores) == math.ceil(many / CALLS_A_CORE)
    assert int(spare) == math.ceil(int(cores) / SPARE)
    assert float(memory.removesuffix(" GB")) == round((int(cores) + int(spare)) * PROCESS_GB + many * CALL_GB, 1)
    groups = {"one": 1, "four": 4}.get(stores.partition(",")[0])
    assert groups == math.ceil(many / CALLS_A_REDIS) or many <= SQLITE_UP_TO


def test_what_is_planned_with_follows_from_the_figures() -> None:
    of_redis, of_server = CALLS_A_REDIS * REDIS_S / CALL_S, CALLS_A_CORE * CORE_S
    assert of_redis == pytest.approx(0.5, rel=0.05)
    assert of_server == pytest.approx(0.8, rel=0.05)
    assert figure(r"1 GB is ([\d,]+) calls") == pytest.approx(1 / KEPT_GB, rel=0.02)


def test_compose_says_how_many_calls_its_redis_keeps() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8")
    stated = re.search(r"takes (\d+) kB of it until it is erased: ([\d,]+) of them fit", text)
    command = yaml.safe_load(text)["services"]["redis"]["command"]
    gigabytes = float(command[command.index("--maxmemory") + 1].removesuffix("gb"))
    assert stated is not None
    assert float(stated[1]) / 1e6 == KEPT_GB
    assert float(stated[2].replace(",", "")) == pytest.approx(gigabytes / KEPT_GB, rel=0.02)
