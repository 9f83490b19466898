"""How far audio lies from where it truly was: by bits of it that occur once nearby."""

from __future__ import annotations

from itertools import groupby

PER_MS = 8
FRAME_MS = 20
FAR = 500 * PER_MS  # where audio is looked for
SILENCE = 0xFF


def shifts_ms(kept: bytes, true: bytes, *, bit: int = PER_MS) -> list[float]:
    """How much later than truly each bit of audio lies in what was kept; infinity for what is not there.

    Bits with silence in them say nothing, and are passed over.
    """
    found = []
    for at in range(0, len(true) - bit, bit):
        wanted = true[at : at + bit]
        if SILENCE in wanted:
            continue
        if kept[at : at + bit] == wanted:
            found.append(0.0)
            continue
        after = kept[at : at + FAR].find(wanted)
        before = kept[max(0, at - FAR) : at + bit].rfind(wanted)
        places = [after] if after >= 0 else []
        places += [before - min(at, FAR)] if before >= 0 else []
        found.append(min(places, key=abs) / PER_MS if places else float("inf"))
    return found


def elsewhere(shifts: list[float], *, allowed_ms: float, run: int) -> list[tuple[float, int]]:
    """Shifts beyond what is allowed (infinity: not there at all) that last for more than `run` bits, and how many."""
    runs = [(shift, len(list(bits))) for shift, bits in groupby(shifts)]
    return [(shift, bits) for shift, bits in runs if abs(shift) > allowed_ms and bits > run]
