"""Settings: what is read, what is refused and in which words, and what never shows."""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from voicebot.errors import SettingsError
from voicebot.settings import Settings, foreign_environment, read_settings, secret_variable, stream_secret
from voicebot.telephony.outbound_policy import AllowList, Policy, Retries

SIGNING = "whsec_" + base64.b64encode(b"canary of signing secrets").decode()
VARIABLES = {field.validation_alias: name for name, field in Settings.model_fields.items()}
COMPLETE = {
    "OPENAI_API_KEY": "sk-canary",
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "canary-token-1,canary-token-2",
    "VOICEBOT_PUBLIC_URL": "https://voice.example.com",
    "VOICEBOT_WEBHOOK_URL": "https://crm.example.com/in",
    "VOICEBOT_WEBHOOK_SECRET": SIGNING,
    "VOICEBOT_STORE": "redis://canary-user:canary-password@redis.example.com/0",
    "VOICEBOT_API_TOKEN": "canary-api-token",
    "VOICEBOT_API_TOKENS": "desk=operate:canary-of-the-desk,eye=read:canary-of-the-eye",
    "VOICEBOT_SECRET": "canary-of-stream-tokens",
    "VOICEBOT_RECORDING_KEY": ",".join(base64.b64encode(one.ljust(32)).decode() for one in (b"canary-1", b"canary-2")),
    "VOICEBOT_RECEIVER_SECRETS": f"crm={SIGNING},crm={SIGNING},hubspot=pat-canary-1",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, without any variable of the developer's."""
    for variable in VARIABLES:
        monkeypatch.delenv(str(variable), raising=False)
    monkeypatch.chdir(tmp_path)


def refused(**given: object) -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        read_settings(None, **given)
    return raised.value


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_empty_environment_is_enough_to_start_with() -> None:
    settings = read_settings()
    assert settings.model == "gpt-realtime-2.1"
    assert settings.transcription_model == "gpt-transcribe"
    assert settings.realtime_url == "wss://api.openai.com/v1/realtime"
    assert settings.store == "sqlite:///data/voicebot.db"
    assert settings.flows == Path("flows")
    assert settings.codec == "pcm"
    assert (settings.max_calls, settings.drain_s) == (200, 300)
    assert settings.twilio_auth_tokens == settings.webhook_secrets == ()
    assert settings.webhook_events == ("call.completed",)
    assert settings.webhook_private == ()
    assert settings.numbers == settings.receiver_secrets == {}
    assert settings.data_folder == Path("data")
    assert settings.instance == ""
    assert [str(network) for network in settings.trusted_proxies] == ["127.0.0.0/8", "::1/128"]
    assert (settings.max_connections, settings.max_connections_per_address) == (500, 100)
    assert (settings.overflow, settings.shed_lag_ms) == ("sentence", 150)


@pytest.mark.parametrize("scheme", ["redis://host", "rediss://user:word@host:6380/3", "redis+sentinel://a,b/mymaster"])
def test_files_beside_redis_are_in_data(scheme: str) -> None:
    assert read_settings(None, VOICEBOT_STORE=scheme).data_folder == Path("data")


def test_environment_goes_before_the_file_and_given_before_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("VOICEBOT_MODEL=file\nVOICEBOT_MAX_CALLS=7\nVOICEBOT_CODEC=pcmu\nUNKNOWN=1\n")
    monkeypatch.setenv("VOICEBOT_MODEL", "environment")
    monkeypatch.setenv("VOICEBOT_MAX_CALLS", "8")
    settings = read_settings(VOICEBOT_MAX_CALLS=9)
    assert (settings.model, settings.max_calls, settings.codec) == ("environment", 9, "pcmu")
    assert read_settings(None).codec == "pcm"


def test_file_may_hold_quotes_comments_and_accents(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        '# for the trattoria\nexport VOICEBOT_FLOWS="città"  # a folder\nVOICEBOT_DRAIN_S=1.5\n', encoding="utf-8"
    )
    settings = read_settings()
    assert (settings.flows, settings.drain_s) == (Path("città"), 1.5)


def test_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("VOICEBOT_FLOWS=città".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"^\.env: cannot be read: it is not UTF-8\. "):
        read_settings()


def test_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("VOICEBOT_CODEC=pcm")

    def forbidden(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(SettingsError, match=r"^\.env: cannot be read: Permission denied\. "):
        read_settings()


def test_receivers_have_their_secrets_by_name() -> None:
    settings = read_settings(None, VOICEBOT_RECEIVER_SECRETS=f"crm={SIGNING}, hubspot = pat-eu1==, crm=00D!x.y ,")
    found = {name: [one.get_secret_value() for one in some] for name, some in settings.receiver_secrets.items()}
    assert found == {"crm": [SIGNING, "00D!x.y"], "hubspot": ["pat-eu1=="]}


def test_lists_are_separated_by_commas() -> None:
    settings = read_settings(
        None,
        VOICEBOT_WEBHOOK_EVENTS="call.started, call.completed",
        VOICEBOT_WEBHOOK_PRIVATE="crm.internal, 10.0.0.0/8,[::1]",
    )
    assert settings.webhook_events == ("call.started", "call.completed")
    assert settings.allowed_addresses.hosts == {"crm.internal"}
    assert [str(one) for one in settings.allowed_addresses.networks] == ["10.0.0.0/8", "::1/128"]


def test_proxies_are_addresses_and_networks() -> None:
    settings = read_settings(None, VOICEBOT_TRUSTED_PROXIES="10.0.0.0/8, 2001:db8::7,")
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "2001:db8::7/128"]
    assert read_settings(None, VOICEBOT_TRUSTED_PROXIES="").trusted_proxies == ()


@pytest.mark.parametrize("choice", ["sentence", "busy", "voicemail", "+15550199199", "queue", "queue/3m,voicemail"])
def test_overflow_is_what_the_operator_chooses(choice: str) -> None:
    assert read_settings(None, VOICEBOT_OVERFLOW=choice).overflow == choice


def test_several_tokens_and_secrets_are_separated_by_commas() -> None:
    settings = read_settings(None, TWILIO_AUTH_TOKEN=" one , two,, ", VOICEBOT_WEBHOOK_SECRET=f"{SIGNING}, {SIGNING}")
    assert [one.get_secret_value() for one in settings.twilio_auth_tokens] == ["one", "two"]
    assert [one.get_secret_value() for one in settings.webhook_secrets] == [SIGNING, SIGNING]


def test_numbers_are_a_table() -> None:
    settings = read_settings(None, VOICEBOT_NUMBERS=" +15550100=order, +390612345=assess ,")
    assert settings.numbers == {"+15550100": "order", "+390612345": "assess"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", ""),
        ("https://voice.example.com", "https://voice.example.com"),
        ("https://voice.example.com/", "https://voice.example.com"),
        ("HTTPS://voice.example.com:8443/", "https://voice.example.com:8443"),
        ("https://voice.example.com?", "https://voice.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_public_url_becomes_an_origin(written: str, read: str) -> None:
    assert read_settings(None, VOICEBOT_PUBLIC_URL=written).public_url == read


def test_origins_are_a_list() -> None:
    written = "https://app.example.com, https://WWW.example.com/ ,http://localhost:3000"
    read = ("https://app.example.com", "https://www.example.com", "http://localhost:3000")
    assert read_settings(None, VOICEBOT_ALLOWED_ORIGINS=written).allowed_origins == read
    assert read_settings(None).allowed_origins == ()


@pytest.mark.parametrize("wrong", ["*", "example.com", "http://example.com", "https://example.com/talk"])
def test_wrong_origins_are_refused(wrong: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(None, VOICEBOT_ALLOWED_ORIGINS=wrong)
    assert refused.value.variable == "VOICEBOT_ALLOWED_ORIGINS"


def test_settings_stand_still() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings(None).model = "another"  # type: ignore[misc]


# ---- what is refused ------------------------------------------------------------------------------------------------

WRONG = {
    "VOICEBOT_REALTIME_URL": [
        "",
        "api.openai.com",
        "https://api.openai.com",
        "ws://api.openai.com",
        "wss://h:x/",
        "wss://",
    ],
    "VOICEBOT_MODEL": [""],
    "VOICEBOT_PUBLIC_URL": [
        "voice.example.com",
        "http://voice.example.com",
        "https://voice.example.com/path",
        "https://voice.example.com?query",
        "https://voice.example.com#part",
        "https://user:pass@voice.example.com",
        "https://voice.example.com:port",
        "https://voice.example.com:70000",
        "https://voice.example.com:0",
        "https://voice example.com",
        "https://[::1",
        "https://",
        "wss://voice.example.com",
        " https://voice.example.com",
    ],
    "VOICEBOT_STORE": ["", "data/voicebot.db", "sqlite:///", "sqlite://data.db", "redis://", "redis+sentinel://host"],
    "VOICEBOT_FLOWS": [""],
    "VOICEBOT_NUMBERS": ["+15550100", "+15550100=", "=order", "5550100=order", "+15550100=a,+15550100=b", "x"],
    "VOICEBOT_WEBHOOK_URL": [
        "crm.example.com",
        "ftp://crm.example.com",
        "https://",
        "https://crm:x",
        "https:///reports",
    ],
    "VOICEBOT_WEBHOOK_SECRET": ["hello", "whsec_", "whsec_%%%", "whsec_c2hvcnQ=", f"{SIGNING},hello"],
    "VOICEBOT_WEBHOOK_EVENTS": ["", ",", "call.ended", "call.completed,call.ended"],
    "VOICEBOT_WEBHOOK_PRIVATE": ["10.0.0.0/33", "http://crm.internal", "10.0.0.0/8 127.0.0.1", "*"],
    "VOICEBOT_RECEIVER_SECRETS": ["crm", "crm=", "=x", "cr m=x", "crm=a b", SIGNING, "crm=whsec_x", "crm=x,hubspot"],
    "VOICEBOT_SECRET": ["short", "fifteen letters"],
    "VOICEBOT_CODEC": ["", "opus", "PCM"],
    "VOICEBOT_MAX_CALLS": ["", "-1", "many", "1.5"],
    "VOICEBOT_OVERFLOW": [
        *(
            "",
            "Busy",
            "queue,busy",
            "queue,",
            "15550199199",
            "+0",
            "+15550199199,busy",
            "queue/9s",
            "queue/31m",
            "queue/2",
        ),
        *("voicemail,queue", "queue,queue", "queue/2h"),
    ],
    "VOICEBOT_SHED_LAG_MS": ["", "-1", "nan", "60001", "soon"],
    "VOICEBOT_TRUSTED_PROXIES": ["proxy.internal", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.1 10.0.0.2"],
    "VOICEBOT_MAX_CONNECTIONS": ["", "0", "many"],
    "VOICEBOT_MAX_CONNECTIONS_PER_ADDRESS": ["", "0", "-5"],
    "VOICEBOT_RECORD": ["", "on", "All"],
    "VOICEBOT_RECORDING_KEY": ["secret", base64.b64encode(b"too short").decode(), "!" * 44],
    "VOICEBOT_DRAIN_S": ["", "-1", "14401", "nan", "inf", "soon"],
    "VOICEBOT_LOG": ["", "JSON", "debug"],
    "VOICEBOT_PRICES": ["m", "m=1/2/3", "m=1/2/3/4/5/-6", "m=1/2/3/4/5/inf", "=1/2/3/4/5/6", "m m=1/2/3/4/5/6"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://"],
    "VOICEBOT_INSTANCE": ["a/b", "a b", "a.b", "a?b", "città", "x" * 41, "west\n"],
}


@pytest.mark.parametrize(("variable", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_wrong_value_names_its_variable_and_how_to_mend_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        read_settings(None)
    error = raised.value
    assert error.variable == variable
    assert error.mend.startswith(("Write ", "Copy ", "Make "))
    assert "README" not in error.mend
    assert re.fullmatch(rf"{variable}: .+\. .+", str(error))
    assert "Traceback" not in str(error)


def test_first_wrong_one_of_several_is_named() -> None:
    assert refused(VOICEBOT_CODEC="opus", VOICEBOT_MAX_CALLS="0").variable == "VOICEBOT_CODEC"


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ("TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN"),
        ("VOICEBOT_PUBLIC_URL", "VOICEBOT_PUBLIC_URL"),
        ("OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("VOICEBOT_WEBHOOK_SECRET", "VOICEBOT_WEBHOOK_SECRET"),
        ("VOICEBOT_SECRET", "VOICEBOT_SECRET"),  # with a store that instances share
    ],
)
def test_serving_needs_what_it_needs(without: str, named: str) -> None:
    settings = read_settings(None, **{name: value for name, value in COMPLETE.items() if name != without})
    with pytest.raises(SettingsError, match=r"is not set") as raised:
        settings.require_serving()
    assert raised.value.variable == named


@pytest.mark.parametrize("blank", ["TWILIO_AUTH_TOKEN", "VOICEBOT_PUBLIC_URL", "OPENAI_API_KEY"])
def test_blank_value_counts_as_none(blank: str) -> None:
    settings = read_settings(None, **(COMPLETE | {blank: "," if blank == "TWILIO_AUTH_TOKEN" else ""}))
    with pytest.raises(SettingsError, match=rf"^{blank}: is not set"):
        settings.require_serving()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"OPENAI_API_KEY": "", "VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9000/v1/realtime"},
        {"VOICEBOT_WEBHOOK_URL": "", "VOICEBOT_WEBHOOK_SECRET": ""},
        {"VOICEBOT_STORE": "sqlite:///calls.db", "VOICEBOT_SECRET": ""},
        {"VOICEBOT_API_TOKEN": "", "TWILIO_ACCOUNT_SID": ""},
    ],
)
def test_serving_needs_no_more(changed: dict[str, str]) -> None:
    read_settings(None, **(COMPLETE | changed)).require_serving()


# ---- what never shows -----------------------------------------------------------------------------------------------


def test_secrets_do_not_show() -> None:
    settings = read_settings(None, **COMPLETE)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "canary" not in shown
        assert SIGNING.removeprefix("whsec_") not in shown


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VOICEBOT_WEBHOOK_SECRET", "whsec_canary!"),
        ("VOICEBOT_WEBHOOK_SECRET", "canary"),
        ("VOICEBOT_SECRET", "canary"),
        ("VOICEBOT_RECORDING_KEY", "canary"),
        ("VOICEBOT_RECEIVER_SECRETS", "canary"),
        ("VOICEBOT_RECEIVER_SECRETS", "whsec_canary="),
        ("VOICEBOT_RECEIVER_SECRETS", "crm=whsec_canary"),
        ("VOICEBOT_RECEIVER_SECRETS", "crm=canary canary"),
        ("VOICEBOT_PUBLIC_URL", "https://canary:canary@voice.example.com/"),
        ("VOICEBOT_WEBHOOK_URL", "https://crm.example.com:canary"),
        ("VOICEBOT_REALTIME_URL", "wss://u:canary"),
        ("VOICEBOT_STORE", "redis://canary:canary@host:99999/0"),
        ("VOICEBOT_STORE", "redis+sentinel://:canary@host"),
    ],
)
def test_errors_do_not_show_what_was_given(variable: str, value: str) -> None:
    error = refused(**{variable: value})
    assert error.variable == variable
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    assert "canary" not in "".join(f"{one!r}{one}" for one in causes)


# ---- the secret of stream tokens ------------------------------------------------------------------------------------


def in_store(folder: Path) -> Settings:
    return read_settings(None, VOICEBOT_STORE=f"sqlite:///{folder}/calls.db")


def test_given_secret_is_used_and_nothing_written(tmp_path: Path) -> None:
    settings = read_settings(None, **(COMPLETE | {"VOICEBOT_STORE": f"sqlite:///{tmp_path}/new/calls.db"}))
    assert stream_secret(settings) == b"canary-of-stream-tokens"
    assert not (tmp_path / "new").exists()


def test_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = in_store(tmp_path / "data")
    old = os.umask(0)
    try:
        first = stream_secret(settings)
    finally:
        os.umask(old)
    assert len(first) >= 32
    assert stream_secret(in_store(tmp_path / "data")) == first
    file = tmp_path / "data" / "secret"
    assert file.read_bytes() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert stream_secret(in_store(tmp_path / "other")) != first


def test_servers_that_start_together_share_one_secret(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def start(round_: int) -> bytes:
        together.wait(10)
        return stream_secret(in_store(tmp_path / str(round_)))

    with ThreadPoolExecutor(8) as threads:
        for round_ in range(20):
            (made,) = set(threads.map(start, [round_] * 8))
            assert len(made) >= 32


def test_secret_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(
        SettingsError, match=r"^VOICEBOT_SECRET: is not set and .*secret is cut short\. Remove the file"
    ):
        stream_secret(in_store(tmp_path))


def test_secret_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(SettingsError, match=r"^VOICEBOT_SECRET: is not set and .* cannot be kept: .*at least 16"):
        stream_secret(in_store(tmp_path / "data"))


# ---- the rest of the environment ------------------------------------------------------------------------------------


def test_foreign_environment_has_no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in COMPLETE.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("EDITOR", "ed")
    found = foreign_environment()
    assert found["EDITOR"] == "ed"
    assert found.keys() & VARIABLES.keys() == set()
    assert "canary" not in str(found)


def test_named_variable_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_TOKEN", "canary-1, canary-2")
    secret = secret_variable("THEIR_TOKEN")
    assert secret.get_secret_value() == "canary-1"
    assert "canary" not in repr(secret)


@pytest.mark.parametrize("value", ["", " ", ","])
def test_named_variable_must_be_set(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_TOKEN", value)
    with pytest.raises(SettingsError, match="THEIR_TOKEN: is not set"):
        secret_variable("THEIR_TOKEN")


# ---- who may be called ----------------------------------------------------------------------------------------------


def test_nobody_may_be_called_by_default() -> None:
    policy = read_settings().outbound_policy
    assert policy == Policy(AllowList(), None, 10, Retries())
    assert not policy.allow.admits("+390612345678")


def test_policy_of_calls_is_read() -> None:
    settings = read_settings(
        None,
        VOICEBOT_OUTBOUND_ALLOW="+39,!+39899",
        VOICEBOT_OUTBOUND_HOURS="Mon-Fri 09:00-20:00 Europe/Rome",
        VOICEBOT_OUTBOUND_RATE="3",
        VOICEBOT_OUTBOUND_RETRIES="2/15m",
        VOICEBOT_OUTBOUND_RING_S="45",
        VOICEBOT_DO_NOT_CALL="no.txt",
    )
    policy = settings.outbound_policy
    assert policy.allow == AllowList(frozenset({"+39"}), frozenset({"+39899"}))
    assert policy.hours is not None
    assert policy.hours.days == frozenset(range(5))
    assert (policy.rate, policy.retries) == (3, Retries(2, timedelta(minutes=15)))
    assert (settings.outbound_ring_s, settings.do_not_call) == (45, Path("no.txt"))


def test_empty_hours_and_list_are_none() -> None:
    settings = read_settings(None, VOICEBOT_OUTBOUND_HOURS="", VOICEBOT_DO_NOT_CALL="")
    assert (settings.outbound_hours, settings.do_not_call) == (None, None)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VOICEBOT_OUTBOUND_ALLOW", "IT"),
        ("VOICEBOT_OUTBOUND_HOURS", "always"),
        ("VOICEBOT_OUTBOUND_RATE", "0"),
        ("VOICEBOT_OUTBOUND_RETRIES", "2"),
        ("VOICEBOT_OUTBOUND_RING_S", "601"),
    ],
)
def test_policy_that_is_none_stops_the_start(variable: str, value: str) -> None:
    error = refused(**{variable: value})
    assert error.variable == variable
    assert error.mend


@pytest.mark.parametrize("missing", ["TWILIO_AUTH_TOKEN", "VOICEBOT_PUBLIC_URL"])
def test_line_needs_token_and_address(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        read_settings(None, **(COMPLETE | {missing: ""})).require_line()
    read_settings(None, TWILIO_AUTH_TOKEN="t", VOICEBOT_PUBLIC_URL="https://voice.example.com").require_line()


# ---- tokens of the API ----------------------------------------------------------------------------------------------


def test_tokens_have_a_name_and_a_scope() -> None:
    given = {"VOICEBOT_API_TOKEN": "one, two", "VOICEBOT_API_TOKENS": "eye=read:a:b, eye=read:c,desk=operate:d"}
    held = [(one.name, one.scope, one.token.get_secret_value()) for one in read_settings(None, **given).all_api_tokens]
    assert held == [
        ("admin", "admin", "one"),
        ("admin", "admin", "two"),
        ("eye", "read", "a:b"),
        ("eye", "read", "c"),
        ("desk", "operate", "d"),
    ]
    assert read_settings().all_api_tokens == ()


@pytest.mark.parametrize(
    "given", ["token", "eye=token", "eye=write:t", "=read:t", "eye=read:", "eye=read:t,eye=admin:u"]
)
def test_token_without_a_name_and_a_scope_is_refused(given: str) -> None:
    error = refused(VOICEBOT_API_TOKENS=given)
    assert error.variable == "VOICEBOT_API_TOKENS"
    assert "name=scope:token" in error.mend
