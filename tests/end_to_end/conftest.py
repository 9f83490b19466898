"""The shipped flows and their scenarios, as a user's checkout has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.flow.loader import FlowShelf, load_folder

FLOWS = Path(__file__).parents[2] / "flows"


@pytest.fixture(scope="session")
def shelf() -> FlowShelf:
    loaded = load_folder(FLOWS)
    assert not loaded.problems
    return loaded
