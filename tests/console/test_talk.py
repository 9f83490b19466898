"""The page *Talk* in a real browser: flows are talked through by voice and in writing, and everything shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.console.at_console import LIMIT_MS, AtConsole, console, recording
from tests.console.conftest import Open
from tests.web_site import GREETING, SHELF
from voicebot.flow.loader import load_folder, shipped_flows
from voicebot.sim.brain import Says, Turn
from voicebot.sim.scenario import noted
from voicebot.sim.speech import speech_ms

ORDERING = load_folder(shipped_flows())
OPENING = "Trattoria da Lina, good evening! What may we cook for you?"
ORDER = "One Margherita to collect, and that's all."
WHO = "Under which name, and when? Any allergies?"
DETAILS = "Ada, as soon as you can. No allergies."
SHALL_WE = "One Margherita, as soon as we can. Shall we?"
TOTAL = "The total is 8.50 euro."
YES = "Yes, go ahead!"
GOODBYE = "Grazie, Ada. A presto!"
CALL = (
    Turn(
        ORDER,
        (
            (
                noted(
                    mode=("pickup", "to collect"),
                    items=([{"name": "Margherita", "quantity": 1}], "One Margherita"),
                    that_is_all=(True, "that's all"),
                ),
            ),
            (Says(WHO),),
        ),
    ),
    Turn(
        DETAILS,
        (
            (
                noted(
                    name=("Ada", "Ada"),
                    wanted_at=("as soon as possible", "as soon as you can"),
                    allergies=([], "No allergies"),
                ),
            ),
            (Says(SHALL_WE),),
        ),
    ),
    Turn(YES, ((noted(accepted=(True, "Yes, go ahead")),), (Says(GOODBYE),))),
)
READER = "a-token-that-may-only-read-0123456789"
HOSTILE = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'


def after(*said: str, slack_s: float = 7.0) -> float:
    """How long a caller waits who lets somebody say this; with room for a machine that is busy."""
    return sum(map(speech_ms, said)) / 1000 + slack_s


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    return recording(tmp_path / "silence.wav", ())


async def begin(at: AtConsole, flow: str, *, caller: str = "", writing: bool = False) -> None:
    await at.go(f"/talk?flow={flow}")
    await at.sees("svg.flow-graph")
    if caller:
        await at.page.fill("input[name=caller]", caller)
    if writing:
        await at.page.check("input[name=silent]")
    await at.page.click("form.begin button[type=submit]")
    await at.sees(".status", "Connected")


async def write(at: AtConsole, text: str) -> None:
    await at.page.fill("input[name=turn]", text)
    await at.page.press("input[name=turn]", "Enter")


async def test_order_is_placed_from_a_browsers_microphone(tmp_path: Path, open_browser: Open) -> None:
    said = [
        (after(OPENING), ORDER),
        (after(WHO), DETAILS),
        (after(SHALL_WE, TOTAL), YES),
        (after(GOODBYE), YES),  # in case it was not understood
    ]
    async with console(open_browser, ORDERING, CALL, recording(tmp_path / "caller.wav", said)) as at:
        await begin(at, "restaurant_ordering", caller="+15550123456")
        await at.sees("g.phase.current", "order")
        await at.sees(".line.bot", OPENING)
        await at.sees("[data-field=phone] .badge", "known before")
        await at.sees(".line.caller", ORDER)
        await at.sees("[data-field=items][data-state=confirmed]", "name: Margherita · quantity: 1")
        await at.sees("[data-field=mode]", "“to collect”")
        await at.sees("[data-field=total]", "8.50")
        await at.sees("[data-field=address] .badge", "not needed")
        await at.sees("g.phase.current", "details")
        await at.sees("g.phase.done", "order")
        await at.sees("path.way.taken")
        await at.sees("[data-field=name][data-state=confirmed]", "Ada")
        await at.sees("g.phase.current", "confirm")
        await at.sees("[data-field=accepted] .value", "yes")
        await at.sees("g.phase.current", "placed")
        await at.sees(".result", "The conversation has come to its end.")
        await at.sees(".result .outcome", "ordered")
        await at.sees(".phase-name", "placed")
        assert await at.page.locator("progress").evaluate("(bar) => bar.value") == 1
        link = await at.sees(".result a")
        assert (await link.get_attribute("href")).startswith("/console/calls/CW")
        await at.is_at_ease()


async def test_conversation_is_had_in_writing_by_keyboard_alone(silence: Path, open_browser: Open) -> None:
    turns = (
        Turn(None, ((Says(GREETING),),)),
        Turn("Hello, this is Ada.", ((noted(name=("Ada", "this is Ada")),), (Says("Thank you, Ada. Goodbye!"),))),
    )
    async with console(open_browser, SHELF, turns, silence, width=390) as at:
        await at.go("/talk?flow=visit")
        await at.sees("svg.flow-graph")
        await at.page.focus("input[name=silent]")
        await at.page.keyboard.press("Space")
        await at.page.keyboard.press("Shift+Tab")
        await at.page.keyboard.press("Enter")
        await at.sees(".line.bot", GREETING)
        assert await at.page.evaluate("document.activeElement.name") == "turn"
        await at.page.keyboard.type("Hello, this is Ada.")
        await at.page.keyboard.press("Enter")
        await at.sees("[data-field=name][data-state=confirmed]", "Ada")
        await at.sees(".result", "The conversation has come to its end.")
        width = await at.page.evaluate("document.documentElement.scrollWidth")
        assert width == 390
        await at.is_at_ease()


async def test_caller_hangs_up_and_talks_again(silence: Path, open_browser: Open) -> None:
    turns = (Turn(None, ((Says(GREETING),),)), Turn(None, ((Says(GREETING),),)))
    async with console(open_browser, SHELF, turns, silence) as at:
        await begin(at, "visit")
        await at.sees(".line.bot", GREETING)
        await at.page.click("text=Mute")
        await at.sees("button[aria-pressed=true]", "Muted")
        await at.page.click("text=Keypad")
        await at.page.click("button[aria-label='key 5']")
        await at.sees(".said-lines .event", "key 5")
        await at.page.click("text=Hang up")
        await at.sees(".result", "You have hung up.")
        await at.page.click("text=Talk again")
        await at.sees(".status", "Connected")
        assert await at.page.locator(".result").is_hidden()


async def test_nothing_that_is_said_runs_as_a_script(silence: Path, open_browser: Open) -> None:
    turns = (
        Turn(None, ((Says(f"Hello {HOSTILE}"),),)),
        Turn(HOSTILE, ((noted(name=(HOSTILE, HOSTILE)),), (Says("Goodbye!"),))),
    )
    async with console(open_browser, SHELF, turns, silence) as at:
        await begin(at, "visit", writing=True)
        await at.sees(".line.bot", HOSTILE)
        await write(at, HOSTILE)
        await at.sees(".line.caller", HOSTILE)
        await at.sees("[data-field=name] .value", HOSTILE)
        await at.sees(".result")
        await at.is_at_ease()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotAllowedError", "The microphone is not allowed."),
        ("NotFoundError", "There is no microphone."),
        ("NotReadableError", "in use by another program"),
    ],
)
async def test_microphone_that_cannot_be_had_is_told(name: str, words: str, silence: Path, open_browser: Open) -> None:
    async with console(open_browser, SHELF, (), silence) as at:
        refuse = f"() => Promise.reject(new DOMException('no', {json.dumps(name)}))"
        await at.page.add_init_script(f"navigator.mediaDevices.getUserMedia = {refuse};")
        await at.go("/talk?flow=visit")
        await at.page.click("form.begin button[type=submit]", timeout=LIMIT_MS)
        await at.sees(".begin .error", words)
        await at.sees(".begin .error", "Or write")


async def test_full_house_is_told(silence: Path, open_browser: Open) -> None:
    turns = (Turn(None, ((Says(GREETING),),)),)
    async with console(open_browser, SHELF, turns, silence, VOICEBOT_MAX_CALLS=1) as at:
        await begin(at, "visit", writing=True)
        second = await at.page.context.new_page()
        await second.goto(f"{at.on_stage.public_url}/console/talk?flow=visit", timeout=LIMIT_MS)
        await second.click("form.begin button[type=submit]", timeout=LIMIT_MS)
        await second.locator(".begin .error", has_text="All places are taken.").wait_for(timeout=LIMIT_MS)


async def test_model_that_is_not_there_is_told(silence: Path, open_browser: Open) -> None:
    nowhere = {"VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime"}
    async with console(open_browser, SHELF, (), silence, **nowhere) as at:
        await at.go("/talk?flow=visit")
        await at.page.click("form.begin button[type=submit]", timeout=LIMIT_MS)
        await at.sees(".result .error", "The model cannot be reached.")


async def test_token_that_may_only_read_is_told(silence: Path, open_browser: Open) -> None:
    readers = {"VOICEBOT_API_TOKENS": f"reader=read:{READER}"}
    async with console(open_browser, SHELF, (), silence, token=READER, **readers) as at:
        await at.go("/talk")
        await at.sees("main", "log in with a token of scope operate")
