"""The house's plan, read from the source: who imports whom, and who touches the world."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "voicebot").rglob("*.py"))
}

# What a package may import of voicebot: its own modules, and these and what is below them.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "vault": {"errors"},
    "tool_schema": set(),
    "webhook_events": set(),
    "base64_codec": set(),
    "json_codec": set(),
    "log_events": set(),
    "inbox": set(),
    "websocket": {"inbox"},
    "observe": {"call.entries", "engine.entries", "errors", "log_events"},
    "audio": {"errors"},
    "flow": {"errors", "webhook_events"},
    "engine": {"errors", "flow", "json_codec", "tool_schema"},
    "call": {"audio", "engine", "errors", "flow", "json_codec", "log_events", "store.contract", "tool_schema"},
    "telephony": {"audio", "base64_codec", "call.ports", "errors", "inbox", "json_codec", "log_events", "websocket"},
    "realtime": {
        *("audio", "base64_codec", "call.ports", "errors", "inbox", "json_codec", "log_events", "tool_schema"),
        "websocket",
    },
    "web": {
        *("audio", "base64_codec", "call", "engine", "errors", "json_codec", "log_events"),
        *("telephony.caller_events", "telephony.socket", "telephony.tap"),
    },
    "store": {"errors", "json_codec", "log_events"},
    "delivery": {
        *(
            "",
            "call.about",
            "call.author_code",
            "call.daemon_threads",
            "call.entries",
            "engine",
            "errors",
            "flow",
            "json_codec",
        ),
        *("log_events", "store.contract", "webhook_events"),
    },
    "recording": {
        *("audio.g711", "call.entries", "call.past", "engine.entries", "errors", "flow.model", "flow.recording"),
        "log_events",
    },
    "settings": {
        "telephony.full_house",
        "telephony.outbound_policy",
        "recording.keys",
        "observe.prices",
        "delivery.guard",
        "delivery.signing",
        "errors",
        "store.opening",
        "webhook_events",
    },
    "server": {
        *("audio", "call", "delivery", "engine", "errors", "flow", "json_codec", "realtime", "settings", "store"),
        *("", "console", "log_events", "observe", "recording", "telephony", "vault", "web"),
    },
    "chat": {"audio", "call", "delivery.report", "engine", "errors", "flow", "realtime", "store.contract"},
    "sim": {"errors"},
    "cli": {
        *("", "chat", "delivery.lines", "errors", "flow", "project", "server", "settings", "sim"),
        *("delivery.report_schema", "recording.files", "store.contract"),
    },
    "console": set(),
    "project": {"errors", "flow"},
    "__main__": {"cli"},
    "": set(),
}

# The twin judges the product from outside; only these of its modules know it: they start it, or read what it left.
BRIDGES = {
    *("voicebot.sim.coverage", "voicebot.sim.enduring_caller", "voicebot.sim.pytest_plugin"),
    *("voicebot.sim.stage", "voicebot.sim.demo", "voicebot.sim.suite", "voicebot.sim.suite_lines"),
    *("voicebot.sim.table", "voicebot.sim.table_call", "voicebot.sim.table_caller"),
    *("voicebot.sim.table_handlers", "voicebot.sim.table_line"),
    *("voicebot.sim.table_model", "voicebot.sim.table_referee", "voicebot.sim.table_response"),
    *("voicebot.sim.table_tools", "voicebot.sim.table_turns", "voicebot.sim.verdict"),
}

# The neutral words that a leg and the core share know neither flow nor engine.
NEUTRAL = {
    "voicebot.call.ports": {"audio.formats", "tool_schema"},
    "voicebot.call.playback": set[str](),
    "voicebot.call.clips": {"audio.formats", "engine.numerals"},
}

REALTIME_SHELL = {"leg", "socket", "endpoint"}

# They take values and return values. `flow.loader`, which reads files, stands apart.
PURE = {
    *(name for name in SOURCES if name.startswith(("voicebot.flow.", "voicebot.engine.", "voicebot.audio."))),
    *(
        name
        for name in SOURCES
        if name.startswith("voicebot.realtime.") and not name.endswith((".leg", ".socket", ".endpoint"))
    ),
    *("voicebot.telephony.media_streams", "voicebot.telephony.tokens"),
    *("voicebot.telephony.back_off", "voicebot.telephony.outbound_policy", "voicebot.telephony.full_house"),
    *(
        f"voicebot.call.{name}"
        for name in (
            *("ports", "entries", "playback", "speaker", "statements", "memory", "clips", "core", "events", "replay"),
            *("about", "bill", "briefing", "contact", "hush", "listening", "past", "replying", "retry", "waits"),
        )
    ),
    *("voicebot.base64_codec", "voicebot.errors", "voicebot.json_codec", "voicebot.tool_schema"),
    *("voicebot.store.contract", "voicebot.store.digest"),
    *(f"voicebot.recording.{name}" for name in ("aligner", "wav", "keys", "sealing", "consent")),
    *("voicebot.recording", "voicebot.call.recording", "voicebot.telephony.tap"),
    *("voicebot.call.analysis", "voicebot.webhook_events", "voicebot.log_events"),
    *(f"voicebot.observe.{name}" for name in ("registry", "families", "call_metrics", "prices", "spans", "redaction")),
    *(f"voicebot.web.{name}" for name in ("allowance", "live", "messages", "meter", "played", "taped")),
    *("voicebot.flow", "voicebot.engine", "voicebot.audio", "voicebot.realtime", "voicebot.telephony", "voicebot.call"),
} - {"voicebot.flow.loader"}

WORLD = {
    *("asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "signal", "selectors"),
    *("aiohttp", "websockets", "httpx", "requests", "urllib.request", "http", "socket", "ssl", "twilio"),
    *("sqlite3", "redis", "os", "io", "shutil", "tempfile", "time", "random", "secrets", "logging"),
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter", "uuid1", "uuid4", "urandom"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(), filename=str(SOURCES[module]))


@cache
def imported(module: str, *, at_start: bool = False) -> frozenset[str]:
    """Full names of what a module imports; with `at_start`, only what is imported when it is."""
    found: set[str] = set()
    for node in _at_start(tree(module)) if at_start else ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base for alias in node.names}
    return frozenset(found)


def _base(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


def _at_start(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement that runs on import: no function's body, and nothing that only types are for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_start(child)


def ours(names: Set[str]) -> set[str]:
    return {name for name in names if name == "voicebot" or name.startswith("voicebot.")}


def package(module: str) -> str:
    """`engine` for `voicebot.engine.offers`."""
    return module.removeprefix("voicebot").removeprefix(".").partition(".")[0]


def below(name: str, allowed: set[str]) -> bool:
    inner = name.removeprefix("voicebot").removeprefix(".")
    return any(inner == one or inner.startswith(f"{one}.") for one in allowed if one) or inner in allowed


def found(wrong: dict[str, set[str]]) -> dict[str, set[str]]:
    """Only the modules of which there is something to say."""
    return {module: names for module, names in wrong.items() if names}


def test_every_package_has_its_rule() -> None:
    assert {package(module) for module in SOURCES} == set(ALLOWED)


def test_imports_go_one_way() -> None:
    wrong = {}
    for module in set(SOURCES) - BRIDGES:
        home = package(module)
        strangers = {name for name in ours(imported(module)) if not (home and package(name) == home)}
        wrong[module] = {name for name in strangers if not below(name, ALLOWED[home])}
    assert found(wrong) == {}


def test_words_of_both_sides_are_neutral() -> None:
    wrong = {
        module: {name for name in ours(imported(module)) if not below(name, allowed)}
        for module, allowed in NEUTRAL.items()
    }
    assert found(wrong) == {}


def test_twin_knows_the_product_only_where_it_starts_or_reads_it() -> None:
    twin = {name for name in SOURCES if package(name) == "sim"} - BRIDGES
    assert found({module: imported(module) & BRIDGES for module in twin}) == {}


def test_product_does_not_know_its_twin() -> None:
    knowing = {module for module in SOURCES if any(package(name) == "sim" for name in ours(imported(module)))}
    assert {package(module) for module in knowing} <= {"sim", "cli"}


def test_only_those_who_wire_know_the_server() -> None:
    wiring = {module for module in SOURCES if any(package(name) == "server" for name in ours(imported(module)))}
    assert {module for module in wiring if package(module) != "server"} <= {"voicebot.cli", *BRIDGES}


def test_nothing_is_imported_in_a_circle() -> None:
    graph = {module: ours(imported(module, at_start=True)) - {module} for module in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        raise AssertionError(" → ".join(exc.args[1])) from exc


# ---- purity -------------------------------------------------------------------------------------------------------


def test_pure_modules_exist() -> None:
    assert set(SOURCES) >= PURE


def test_pure_modules_do_not_touch_the_world() -> None:
    assert found({module: {name for name in imported(module) if of_the_world(name)} for module in PURE}) == {}


def test_pure_modules_import_pure_ones() -> None:
    assert found({module: ours(imported(module)) - PURE - {"voicebot"} for module in PURE}) == {}


def test_pure_modules_ask_no_clock_and_open_no_file() -> None:
    def asks(call: ast.Call) -> bool:
        if isinstance(call.func, ast.Attribute):
            return call.func.attr in CLOCKS
        return isinstance(call.func, ast.Name) and call.func.id in ("open", "print", "input")

    wrong = {
        module: {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call) and asks(node)}
        for module in PURE
    }
    assert found(wrong) == {}


def test_loader_reads_files_and_nothing_else() -> None:
    assert {name for name in imported("voicebot.flow.loader") if of_the_world(name)} == set()


def of_the_world(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in WORLD)


# ---- who may do what ----------------------------------------------------------------------------------------------


def attributes(module: str) -> set[str]:
    """Dotted names that a module uses, as `os.environ`, and those it imports so."""
    used = {ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom):
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
    return used


def test_environment_is_read_in_one_place() -> None:
    readers = ("os.environ", "os.getenv", "pydantic_settings.")
    others = set(SOURCES) - {"voicebot.settings"}
    assert found({module: {name for name in attributes(module) if name.startswith(readers)} for module in others}) == {}


def test_tasks_belong_to_groups() -> None:
    free = ("asyncio.create_task", "asyncio.ensure_future", "loop.create_task", "loop().create_task")
    others = set(SOURCES) - {"voicebot.server.lifecycle"}
    assert found({module: {name for name in attributes(module) if name.endswith(free)} for module in others}) == {}


def test_packages_are_light_to_import() -> None:
    """`voicebot --help` must start at once: neither it nor a package loads what the command at hand does not need."""
    light = {name for name, path in SOURCES.items() if path.name == "__init__.py"} - {"voicebot.flow"}
    light |= {"voicebot.cli", "voicebot.__main__"}
    heavy = ("aiohttp", "numpy", "soxr", "twilio", "websockets", "pydantic", "orjson", "rich")
    loaded = {module: imported(module, at_start=True) - {"voicebot", "voicebot.cli"} for module in light}
    assert found({module: {name for name in names if name.startswith(heavy)} for module, names in loaded.items()}) == {}
    assert found({module: ours(names) for module, names in loaded.items()}) == {}


def test_modules_say_what_they_are() -> None:
    assert [module for module in SOURCES if not ast.get_docstring(tree(module))] == []
