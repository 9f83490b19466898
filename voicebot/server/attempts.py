"""Wrong tokens, counted by who gave them, so that none is found by trying; told the time."""

from __future__ import annotations

from collections import OrderedDict

MOST_WRONG = 10  # in a row
FORGIVEN_EVERY_S = 6.0  # one of them: ten a minute can be tried in the long run
MOST_CLIENTS = 10_000  # remembered; then the one that tried longest ago is forgotten


class Attempts:
    """How often each client was wrong lately. Times are seconds on the clock of `now`."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many, and as of when

    def wait_s(self, client: str, now: float) -> float:
        """How long this client has to wait before it is listened to again; 0 if it need not."""
        return max(0.0, (self._standing(client, now) - (MOST_WRONG - 1)) * FORGIVEN_EVERY_S)

    def failed(self, client: str, now: float) -> None:
        """It gave a wrong token."""
        self._wrong[client] = self._standing(client, now) + 1.0, now
        self._wrong.move_to_end(client)
        if len(self._wrong) > MOST_CLIENTS:
            self._wrong.popitem(last=False)

    def _standing(self, client: str, now: float) -> float:
        wrong, since = self._wrong.get(client, (0.0, now))
        return max(0.0, wrong - (now - since) / FORGIVEN_EVERY_S)
