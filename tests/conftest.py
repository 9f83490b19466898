"""What holds for every test: the developer's own settings are out of reach, and in CI a skipped test is a failure."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.redis_server import RedisServer

OURS = ("VOICEBOT_", "TWILIO_", "OPENAI_", "OTEL_")


def pytest_configure() -> None:
    # Machines are noisy: how long one example takes says nothing.
    hypothesis.settings.register_profile(
        "voicebot", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("voicebot")
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Ten thousand tests stay to the end: the garbage collector need not look at them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone."""
    with RedisServer(tmp_path / "redis") as server:
        yield server
