"""What holds for every test: the developer's own settings are out of reach, and in CI a skipped test is a failure."""

from __future__ import annotations

import os

import pytest

OURS = ("VOICEBOT_", "TWILIO_", "OPENAI_")


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
