"""When to try again what failed: soon at first, rarer then, and not all processes at once."""

from __future__ import annotations

import random

FIRST_S = 0.08
LIMIT_S = 2.0


def retry_delay_s(failures: int) -> float:
    """How long to wait after this many failures in a row, from 1 on: doubling, up to `LIMIT_S`, less up to a half."""
    longest = min(FIRST_S * 2.0 ** min(failures - 1, 10), LIMIT_S)
    return longest * random.uniform(0.5, 1.0)
