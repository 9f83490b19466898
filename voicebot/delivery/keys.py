"""The secrets of receivers by name: what signs, and the tokens of those who want one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from voicebot.errors import SettingsError
from voicebot.flow.model import Flow
from voicebot.flow.receivers import Receiver

from .signing import SECRET_PREFIX

SETTING = "VOICEBOT_RECEIVER_SECRETS"


class Keyring:
    """What the settings hold for receivers. Nothing of it shows in a repr.

    Args:
        default: secrets that sign where a receiver names none, newest first (`VOICEBOT_WEBHOOK_SECRET`).
        named: by name, newest first, secrets and tokens (`VOICEBOT_RECEIVER_SECRETS`).
    """

    def __init__(self, default: Sequence[str], named: Mapping[str, Sequence[str]] | None = None) -> None:
        self._default, self._named = tuple(default), dict(named or {})

    def signing(self, name: str) -> Sequence[str]:
        """The secrets of this name that can sign, newest first; of the empty name, the default ones."""
        return [one for one in self._named.get(name, ()) if one.startswith(SECRET_PREFIX)] if name else self._default

    def bearer(self, name: str) -> str | None:
        """The newest token of this name."""
        return next(iter(self._named.get(name, ())), None)

    def require(self, flows: Iterable[tuple[str, Flow]]) -> None:
        """Check that there is a key for every receiver of these flows, which are given with their names.

        Raises:
            SettingsError: one is missing; it says for which receiver of which flow.
        """
        for flow_name, flow in flows:
            for receiver in flow.report.receivers:
                for variable, problem, mend in self._missing(receiver):
                    raise SettingsError(variable, f"{problem} of flow {flow_name!r}, receiver {receiver.name!r}", mend)

    def _missing(self, receiver: Receiver) -> Iterator[tuple[str, str, str]]:
        secret, bearer = receiver.secret, receiver.bearer
        if not secret and not self._default:
            mend = "Set it, or give the receiver a secret of its own."
            yield "VOICEBOT_WEBHOOK_SECRET", "is not set, and should sign the deliveries", mend
        elif secret and secret not in self._named:
            yield SETTING, f"has no {secret!r}, which should be the secret", f"Add {secret}=whsec_… to it."
        elif not self.signing(secret):
            yield SETTING, f"has no whsec_… as {secret!r}, which should be the secret", f"Write {secret}=whsec_…"
        if bearer and bearer not in self._named:
            yield SETTING, f"has no {bearer!r}, which should be the bearer token", f"Add {bearer}=… to it."
