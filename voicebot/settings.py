"""Every setting, read once from the environment and a `.env` file: the only reader of both."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError, field_serializer, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from voicebot.delivery.guard import Allowed, read_allowed
from voicebot.delivery.signing import SECRET_PREFIX, check_secret
from voicebot.errors import SettingsError
from voicebot.observe.prices import Price, read_prices
from voicebot.recording.keys import read_key
from voicebot.store.opening import check_address, data_folder, is_shared, shown_address
from voicebot.telephony.full_house import FullHouse, read_full_house
from voicebot.telephony.outbound_policy import (
    AllowList,
    CallingHours,
    Policy,
    Retries,
    read_allow_list,
    read_hours,
    read_retries,
)
from voicebot.webhook_events import REPORT_EVENT, WEBHOOK_EVENTS, WebhookEvent

_MEND = {
    "OPENAI_API_KEY": "Make a key in the OpenAI console, or name another server in VOICEBOT_REALTIME_URL.",
    "TWILIO_AUTH_TOKEN": "Copy it from the Twilio console; several, for rotation, are separated by commas.",
    "TWILIO_API_URL": "Write the origin of Twilio's REST API, or leave it unset for https://api.twilio.com.",
    "VOICEBOT_PUBLIC_URL": "Write the origin as Twilio sees it, as in https://voice.example.com, without a path.",
    "VOICEBOT_ALLOWED_ORIGINS": "Write origins with commas, as in https://app.example.com,https://www.example.com.",
    "VOICEBOT_REALTIME_URL": "Write a WebSocket address, as in wss://api.openai.com/v1/realtime.",
    "VOICEBOT_STORE": "Write sqlite:///data/voicebot.db or another file, or the address of a Redis.",
    "VOICEBOT_MODEL": "Write the model's name, as in gpt-realtime-2.1, or leave it unset.",
    "VOICEBOT_FLOWS": "Write a folder of flow files, or leave it unset for ./flows.",
    "VOICEBOT_NUMBERS": "Write number=flow pairs, as in +15550100=restaurant_ordering,+15550101=financial_advisor.",
    "VOICEBOT_WEBHOOK_URL": "Write the address that receives reports, as in https://crm.example.com/voicebot.",
    "VOICEBOT_WEBHOOK_SECRET": "Write whsec_ and the base64 of 24 to 64 random bytes, as the receiver has it.",
    "VOICEBOT_WEBHOOK_EVENTS": f"Write one or more, with commas: {', '.join(WEBHOOK_EVENTS)}.",
    "VOICEBOT_WEBHOOK_PRIVATE": "Write hosts and networks with commas, as in crm.internal,10.0.0.0/8.",
    "VOICEBOT_RECEIVER_SECRETS": "Write name=secret pairs, as in crm=whsec_…,hubspot=pat-…, by the names in the flows.",
    "VOICEBOT_API_TOKENS": "Write name=scope:token, as in desk=operate:…, with commas; scopes: read, operate, admin.",
    "VOICEBOT_API_RATE": "Write requests a minute of one token, from 1 on.",
    "VOICEBOT_CODEC": "Write pcm (the model hears 24 kHz) or pcmu (mu-law passes through).",
    "VOICEBOT_SECRET": "Write at least 16 characters, the same for all instances, or leave it unset.",
    "VOICEBOT_MAX_CALLS": "Write a whole number; 0 takes no calls.",
    "VOICEBOT_OVERFLOW": "Write sentence, busy, voicemail, or a number as in +15550199 that is rung for callers "
    "without a place; with queue before it they wait first, as in queue/3m,voicemail.",
    "VOICEBOT_SHED_LAG_MS": "Write milliseconds, as in 150, or 0 to take calls however late the process is.",
    "VOICEBOT_TRUSTED_PROXIES": "Write addresses and networks with commas, as in 127.0.0.1,10.0.0.0/8.",
    "VOICEBOT_MAX_CONNECTIONS": "Write a whole number from 1 on.",
    "VOICEBOT_MAX_CONNECTIONS_PER_ADDRESS": "Write a whole number from 1 on.",
    "VOICEBOT_RETENTION_DAYS": "Write days, as in 90, or leave it unset: then calls are kept until erased.",
    "VOICEBOT_RECORD": "Write off, flow (as each flow says) or all.",
    "VOICEBOT_RECORDING_KEY": "Write the base64 of 32 random bytes; several, for rotation, with commas.",
    "VOICEBOT_DRAIN_S": "Write seconds, 0 to 14400.",
    "VOICEBOT_LOG": "Write json, text, or auto (text at a terminal).",
    "VOICEBOT_PRICES": "Write model=text in/cached/out/audio in/cached/out in US dollars for a million tokens, "
    "as in gpt-realtime-2.1=4/0.4/24/32/0.4/64; several with commas.",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "Write the address of an OTLP collector over HTTP, as in http://127.0.0.1:4318.",
    "VOICEBOT_OUTBOUND_ALLOW": "Write beginnings of numbers with commas, as in +39,+1,!+1900 (! before what may not be "
    "called), or leave it unset: then nobody is called.",
    "VOICEBOT_OUTBOUND_HOURS": "Write times and a zone, as in 09:00-20:00 Europe/Rome or Mon-Fri 09:00-20:00 "
    "Europe/Rome, or leave it unset for any time.",
    "VOICEBOT_OUTBOUND_RATE": "Write calls a minute, from 1 on.",
    "VOICEBOT_OUTBOUND_RETRIES": "Write how often, and how far apart, as in 2/15m, or 0.",
    "VOICEBOT_OUTBOUND_RING_S": "Write whole seconds, 5 to 600.",
    "VOICEBOT_DO_NOT_CALL": "Write the path of a file with a number a line.",
    "VOICEBOT_INSTANCE": "Write letters, digits and dashes, at most 40, or leave it unset.",
}
_PREFIXES = ("VOICEBOT_", "TWILIO_", "OPENAI_")
Scope = Literal["read", "operate", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each lets do what those before it do
_SHORTEST_SECRET = 16  # characters
_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
_INSTANCE = re.compile(r"[A-Za-z0-9-]{1,40}")
_SECRET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_SECRET = re.compile(r"[!-~]+")  # what a header can carry, without spaces


class ScopedToken(NamedTuple):
    """A token of the API: what it is called in the log, what it may do, and itself."""

    name: str
    scope: Scope
    token: SecretStr


class Settings(BaseSettings):
    """What the operator chose. Fields are named as their variables, without the prefix."""

    model_config = SettingsConfigDict(
        arbitrary_types_allowed=True,
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    openai_api_key: SecretStr = Field(SecretStr(""), validation_alias="OPENAI_API_KEY")
    realtime_url: str = Field("wss://api.openai.com/v1/realtime", validation_alias="VOICEBOT_REALTIME_URL")
    model: str = Field("gpt-realtime-2.1", validation_alias="VOICEBOT_MODEL", min_length=1)
    transcription_model: str = Field("gpt-transcribe", validation_alias="VOICEBOT_TRANSCRIPTION_MODEL")
    twilio_account_sid: str = Field("", validation_alias="TWILIO_ACCOUNT_SID")
    twilio_auth_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias="TWILIO_AUTH_TOKEN")
    twilio_api_url: str = Field("https://api.twilio.com", validation_alias="TWILIO_API_URL")
    public_url: str = Field("", validation_alias="VOICEBOT_PUBLIC_URL")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="VOICEBOT_ALLOWED_ORIGINS")
    store: str = Field("sqlite:///data/voicebot.db", validation_alias="VOICEBOT_STORE", repr=False)
    flows: Path = Field(Path("flows"), validation_alias="VOICEBOT_FLOWS")
    numbers: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict, validation_alias="VOICEBOT_NUMBERS")
    default_flow: str = Field("", validation_alias="VOICEBOT_DEFAULT_FLOW")
    webhook_url: str = Field("", validation_alias="VOICEBOT_WEBHOOK_URL")
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias="VOICEBOT_WEBHOOK_SECRET")
    webhook_events: Annotated[tuple[WebhookEvent, ...], NoDecode] = Field(
        (REPORT_EVENT,), validation_alias="VOICEBOT_WEBHOOK_EVENTS"
    )
    webhook_private: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="VOICEBOT_WEBHOOK_PRIVATE")
    receiver_secrets: Annotated[dict[str, tuple[SecretStr, ...]], NoDecode] = Field(
        default_factory=dict, validation_alias="VOICEBOT_RECEIVER_SECRETS"
    )
    api_token: SecretStr = Field(SecretStr(""), validation_alias="VOICEBOT_API_TOKEN")
    api_tokens: Annotated[tuple[ScopedToken, ...], NoDecode] = Field((), validation_alias="VOICEBOT_API_TOKENS")
    api_rate: int = Field(600, validation_alias="VOICEBOT_API_RATE", ge=1)
    secret: SecretStr = Field(SecretStr(""), validation_alias="VOICEBOT_SECRET")
    codec: Literal["pcm", "pcmu"] = Field("pcm", validation_alias="VOICEBOT_CODEC")
    max_calls: int = Field(200, validation_alias="VOICEBOT_MAX_CALLS", ge=0)
    overflow: str = Field("sentence", validation_alias="VOICEBOT_OVERFLOW")
    shed_lag_ms: float = Field(150.0, validation_alias="VOICEBOT_SHED_LAG_MS", ge=0, le=60_000)
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        ("127.0.0.0/8", "::1"), validation_alias="VOICEBOT_TRUSTED_PROXIES", validate_default=True
    )
    max_connections: int = Field(500, validation_alias="VOICEBOT_MAX_CONNECTIONS", ge=1)
    max_connections_per_address: int = Field(100, validation_alias="VOICEBOT_MAX_CONNECTIONS_PER_ADDRESS", ge=1)
    outbound_allow: Annotated[AllowList, NoDecode] = Field(AllowList(), validation_alias="VOICEBOT_OUTBOUND_ALLOW")
    outbound_hours: Annotated[CallingHours | None, NoDecode] = Field(None, validation_alias="VOICEBOT_OUTBOUND_HOURS")
    outbound_rate: int = Field(10, validation_alias="VOICEBOT_OUTBOUND_RATE", ge=1)
    outbound_retries: Annotated[Retries, NoDecode] = Field(Retries(), validation_alias="VOICEBOT_OUTBOUND_RETRIES")
    outbound_ring_s: int = Field(30, validation_alias="VOICEBOT_OUTBOUND_RING_S", ge=5, le=600)
    do_not_call: Path | None = Field(None, validation_alias="VOICEBOT_DO_NOT_CALL")
    retention_days: float | None = Field(None, validation_alias="VOICEBOT_RETENTION_DAYS", gt=0, le=36_500)
    record: Literal["off", "all", "flow"] = Field("flow", validation_alias="VOICEBOT_RECORD")
    recording_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias="VOICEBOT_RECORDING_KEY")
    drain_s: float = Field(300.0, validation_alias="VOICEBOT_DRAIN_S", ge=0, le=14_400)
    instance: str = Field("", validation_alias="VOICEBOT_INSTANCE")
    log: Literal["auto", "json", "text"] = Field("auto", validation_alias="VOICEBOT_LOG")
    prices: Annotated[dict[str, Price], NoDecode] = Field(default_factory=dict, validation_alias="VOICEBOT_PRICES")
    otlp_endpoint: str = Field("", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    otel_service: str = Field("voicebot", validation_alias="OTEL_SERVICE_NAME")

    @field_validator("twilio_auth_tokens", "webhook_secrets", "recording_key", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(SecretStr(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("webhook_events", "webhook_private", "trusted_proxies", "allowed_origins", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("webhook_events")
    @classmethod
    def _some_events(cls, value: tuple[WebhookEvent, ...]) -> tuple[WebhookEvent, ...]:
        if not value:
            raise ValueError("names no event")
        return value

    @field_validator("webhook_private")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_allowed(value)
        return value

    @field_validator("overflow")
    @classmethod
    def _choice(cls, value: str) -> str:
        read_full_house(value)
        return value

    @field_validator("receiver_secrets", mode="before")
    @classmethod
    def _named_secrets(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        named: dict[str, tuple[SecretStr, ...]] = {}
        for number, part in enumerate(filter(str.strip, value.split(",")), 1):
            name, _, secret = (piece.strip() for piece in part.partition("="))
            if not _SECRET_NAME.fullmatch(name) or name.startswith(SECRET_PREFIX) or not _SECRET.fullmatch(secret):
                raise ValueError(f"pair {number} is no name and secret with = between them")
            if secret.startswith(SECRET_PREFIX):
                check_secret(secret)
            named[name] = (*named.get(name, ()), SecretStr(secret))
        return named

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _scoped(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        tokens = []
        for number, part in enumerate(filter(str.strip, value.split(",")), 1):
            name, _, rest = (piece.strip() for piece in part.partition("="))
            scope, _, token = rest.partition(":")
            if not _SECRET_NAME.fullmatch(name) or scope not in SCOPES or not _SECRET.fullmatch(token):
                raise ValueError(f"token {number} is not written as name=scope:token")
            tokens.append(ScopedToken(name, scope, SecretStr(token)))
        if any(one.name == other.name and one.scope != other.scope for one in tokens for other in tokens):
            raise ValueError("gives one name two scopes")
        return tuple(tokens)

    @field_validator("webhook_secrets")
    @classmethod
    def _signing(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for one in value:
            check_secret(one.get_secret_value())
        return value

    @field_validator("recording_key")
    @classmethod
    def _keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for one in value:
            read_key(one.get_secret_value())
        return value

    @field_validator("flows", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if value == "":  # which would be the working directory with every Python file in it
            raise ValueError("is empty")
        return value

    @field_validator("numbers", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if bad := [number for number, _, flow in pairs if not (_NUMBER.fullmatch(number.strip()) and flow.strip())]:
            raise ValueError(f"{bad[0].strip()!r} is no pair of a number (E.164) and a flow")
        numbers = {number.strip(): flow.strip() for number, _, flow in pairs}
        if len(numbers) < len(pairs):
            raise ValueError("names a number twice")
        return numbers

    @field_validator("outbound_allow", mode="before")
    @classmethod
    def _prefixes(cls, value: object) -> object:
        return read_allow_list(value) if isinstance(value, str) else value

    @field_validator("outbound_hours", mode="before")
    @classmethod
    def _opening_hours(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return read_hours(value) if value.strip() else None

    @field_validator("outbound_retries", mode="before")
    @classmethod
    def _tries(cls, value: object) -> object:
        return read_retries(value) if isinstance(value, str) else value

    @field_validator("do_not_call", mode="before")
    @classmethod
    def _no_file(cls, value: object) -> object:
        return value or None  # the working directory is no list

    @field_validator("prices", mode="before")
    @classmethod
    def _priced(cls, value: object) -> object:
        return read_prices(value) if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _public_origin(cls, value: str) -> str:
        return _origin(value) if value else value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_origin, value))

    @field_validator("realtime_url")
    @classmethod
    def _websocket(cls, value: str) -> str:
        parts = _address(value)
        if parts.scheme not in ("wss", "ws"):
            raise ValueError("is no WebSocket address")
        if parts.scheme == "ws" and not _is_loopback(parts.hostname):
            raise ValueError("ws:// is allowed on loopback only; use wss://")
        return value

    @field_validator("twilio_api_url")
    @classmethod
    def _api(cls, value: str) -> str:
        parts = _address(value)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
            raise ValueError("must begin with https:// (http:// only on loopback)")
        return value.rstrip("/")

    @field_validator("webhook_url", "otlp_endpoint")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and _address(value).scheme not in ("https", "http"):
            raise ValueError("is no http(s) address")
        return value

    @field_validator("store")
    @classmethod
    def _known_store(cls, value: str) -> str:
        check_address(value)
        return value

    @field_serializer("store")
    def _without_password(self, value: str) -> str:
        return shown_address(value)

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < _SHORTEST_SECRET:
            raise ValueError("is too short")
        return value

    @field_validator("instance")
    @classmethod
    def _address_part(cls, value: str) -> str:
        if value and not _INSTANCE.fullmatch(value):
            raise ValueError("is no name for a stream's address")
        return value

    @property
    def full_house(self) -> FullHouse:
        """What callers get for whom there is no place."""
        return read_full_house(self.overflow)

    @property
    def secret_texts(self) -> tuple[str, ...]:
        """Everything in here that nobody may read in a log."""
        named = (one for some in self.receiver_secrets.values() for one in some)
        whole = (self.openai_api_key, self.api_token, self.secret, *self.twilio_auth_tokens, *self.webhook_secrets)
        tokens = (one.token for one in self.all_api_tokens)
        texts = [one.get_secret_value() for one in (*whole, *named, *self.recording_key, *tokens)]
        for address in (self.store, self.webhook_url, self.otlp_endpoint):
            parts = urlsplit(address)
            texts += [parts.password or "", unquote(parts.password or ""), parts.query]
        return tuple(filter(None, texts))

    @property
    def all_api_tokens(self) -> tuple[ScopedToken, ...]:
        """Every token of the API: those of `VOICEBOT_API_TOKEN`, with commas between them, may do everything."""
        whole = filter(None, map(str.strip, self.api_token.get_secret_value().split(",")))
        return (*(ScopedToken("admin", "admin", SecretStr(one)) for one in whole), *self.api_tokens)

    @property
    def recording_keys(self) -> tuple[bytes, ...]:
        """The keys of sealed recordings: the first one seals, all of them open."""
        return tuple(read_key(one.get_secret_value()) for one in self.recording_key)

    @property
    def data_folder(self) -> Path:
        """Where the store and what belongs to it live; with Redis, the latter alone."""
        return data_folder(self.store)

    @property
    def outbound_policy(self) -> Policy:
        """Who may be called, and when."""
        return Policy(self.outbound_allow, self.outbound_hours, self.outbound_rate, self.outbound_retries)

    @property
    def allowed_addresses(self) -> Allowed:
        """Where receivers may be beside the public internet."""
        return read_allowed(self.webhook_private)

    def require_line(self) -> None:
        """Check that Twilio can be told where we are, and believed.

        Raises:
            SettingsError: a setting for that is missing.
        """
        if not self.twilio_auth_tokens:
            raise SettingsError(
                "TWILIO_AUTH_TOKEN", "is not set, so no webhook could be trusted", _MEND["TWILIO_AUTH_TOKEN"]
            )
        if not self.public_url:
            raise SettingsError("VOICEBOT_PUBLIC_URL", "is not set", _MEND["VOICEBOT_PUBLIC_URL"])

    def require_serving(self) -> None:
        """Check that a server can answer a phone with these settings.

        Raises:
            SettingsError: a setting that `serve` needs is missing.
        """
        self.require_line()
        if not self.openai_api_key.get_secret_value() and not _is_loopback(urlsplit(self.realtime_url).hostname):
            raise SettingsError(
                "OPENAI_API_KEY", "is not set", "Make a key in the OpenAI console, or set VOICEBOT_REALTIME_URL."
            )
        if is_shared(self.store) and not self.secret.get_secret_value():
            raise SettingsError(
                "VOICEBOT_SECRET", "is not set, and instances on one store need the same", _MEND["VOICEBOT_SECRET"]
            )
        if self.webhook_url and not self.webhook_secrets:
            raise SettingsError(
                "VOICEBOT_WEBHOOK_SECRET",
                "is not set, so reports could not be signed",
                _MEND["VOICEBOT_WEBHOOK_SECRET"],
            )


def _address(value: str) -> SplitResult:
    """A URL's parts.

    Raises:
        ValueError: it has no host, a port that is none, or a space.
    """
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("has a port that is no number up to 65535") from exc
    if not parts.hostname or port == 0 or any(map(str.isspace, value)):
        raise ValueError("is no address with a host")
    return parts


def _origin(value: str) -> str:
    """An origin as browsers write it.

    Raises:
        ValueError: it is none, or one that others can listen in on.
    """
    parts = _address(value)
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be an origin and nothing more")
    if not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        raise ValueError("must begin with https:// (http:// only on loopback)")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _is_loopback(host: str | None) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")


def read_settings(env_file: Path | None = Path(".env"), **given: object) -> Settings:
    """Read the environment and the `.env` file; `given` (by variable name) goes before both.

    Raises:
        SettingsError: a variable is wrong; the first one, by name, with how to mend it.
    """
    try:
        return Settings(_env_file=env_file, **given)  # type: ignore[arg-type]
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        variable = str(problem["loc"][0]) if problem["loc"] else "settings"
        text = problem["msg"].removeprefix("Value error, ")
        raise SettingsError(variable, text, _MEND.get(variable, "See the README for its form.")) from None
    except (OSError, UnicodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise SettingsError(str(env_file), f"cannot be read: {why}", "Mend or remove the file.") from None


def foreign_environment() -> dict[str, str]:
    """The environment without our own settings, for a process that is given settings of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}


def secret_variable(name: str) -> SecretStr:
    """A secret from a variable that the user names; of several, with commas, the first.

    Raises:
        SettingsError: it is not set.
    """
    if not (value := os.environ.get(name, "").partition(",")[0].strip()):
        raise SettingsError(name, "is not set", "Set it, or name another variable.")
    return SecretStr(value)


def stream_secret(settings: Settings) -> bytes:
    """The key of stream tokens: the setting, or one made once and kept in the data folder (mode 0600).

    Raises:
        SettingsError: it can be neither read nor kept.
    """
    if given := settings.secret.get_secret_value():
        return given.encode()
    path = settings.data_folder / "secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _keep(path, base64.urlsafe_b64encode(secrets.token_bytes(32)))
        kept = path.read_bytes()
    except OSError as exc:
        problem = f"is not set and {path} cannot be kept: {exc.strerror}"
        raise SettingsError("VOICEBOT_SECRET", problem, _MEND["VOICEBOT_SECRET"]) from exc
    if len(kept) < _SHORTEST_SECRET:
        raise SettingsError("VOICEBOT_SECRET", f"is not set and {path} is cut short", "Remove the file.")
    return kept


def _keep(path: Path, content: bytes) -> None:
    """Make a file of mode 0600, whole at once: of several processes that start together, the first one's stands."""
    with tempfile.NamedTemporaryFile(dir=path.parent) as file, contextlib.suppress(FileExistsError):
        file.write(content)
        file.flush()
        os.link(file.name, path)
