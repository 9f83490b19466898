"""Kills servers under calls, and judges what becomes of the calls.

    python tests/benchmarks/kills.py --rounds 20             kill -9 in mid-call: two stores, action sent and withheld
    python tests/benchmarks/kills.py --stores workers        the same with two workers of one instance, on SQLite
    python tests/benchmarks/kills.py --stores nginx          the same on Redis behind the shipped nginx, over TLS
    python tests/benchmarks/kills.py --rounds 4 --calls 5    the same number of calls, five at once
    python tests/benchmarks/kills.py --ends 500              kill -9 around the end of short calls
    python tests/benchmarks/kills.py --drain 10              SIGTERM under ten calls, one of them connecting
    python tests/benchmarks/kills.py --rolling 10            two instances restarted one after the other
    python tests/benchmarks/kills.py --outage 25             Redis killed and restarted, then away for half a minute

Real processes of `voicebot serve` behind one address, a twin of everything around them, real time. New calls go to the
instance that is about to die (nginx gives them to whom it likes, and that one dies). Every call is compared with one
that nothing happened to. Exit code 1 if anything is wrong; the moments are by a seed, which is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.kill_judge import HEAD, Reported, Survivor, Tally, judge, judge_end, reports_of
from tests.deploy.deployment import deployment
from tests.fakes import environment
from tests.redis_server import RedisServer
from tests.short_call import FLOW, SHORT
from voicebot.errors import ScenarioError
from voicebot.flow.loader import FlowShelf, load_folder
from voicebot.sim.caller import Interrupt
from voicebot.sim.enduring_caller import EnduringCaller
from voicebot.sim.fleet import Fleet, fleet
from voicebot.sim.line import LineFaults
from voicebot.sim.scenario import Say, Scenario, load_scenarios
from voicebot.sim.steady_brain import AGAIN
from voicebot.sim.timeline import Event, StreamClosed, StreamOpened, WebhookAnswered
from voicebot.sim.verdict import answered_lines, opening_of

ROOT = Path(__file__).parents[2]
NAMES = ("a", "b")
CALL_LIMIT_S = 300.0
REPORT_LIMIT_S = 90.0
FIRST_KILL_MS, LAST_KILL_MS = 500.0, 2500.0  # after the first stream opens, before the call would end
AROUND_THE_END_S = (-0.5, 1.0)  # kills of short calls, from when their streams close
EXIT_LIMIT_S = 1.0  # of a server that has no more calls
HANDED_OVER_S = "2"  # the drain limit of a rolling restart: calls are longer
STAGGER_S = 0.3
AWAY_AFTER_S, AWAY_S = 10.0, 30.0  # of a Redis that was killed and restarted before: gone again, for so long
DENSE_S = 0.03  # between calls that are to end together
COMPLAINTS_SHOWN = 30


@dataclass(frozen=True)
class Play:
    """The call that is placed again and again."""

    scenario: Scenario
    flows: Path
    shelf: FlowShelf

    def caller(self) -> EnduringCaller:
        lines = answered_lines(self.scenario, opening_of(self.shelf.get(self.scenario.flow)))
        return EnduringCaller(self.scenario.steps(), lines, asks_again=[AGAIN])


def play_of(name: str) -> Play:
    """A scenario of the trattoria's, in which the caller lets the bot finish."""
    found = load_scenarios(ROOT / "flows" / "scenarios" / "restaurant_ordering.py")
    scenario = next(one for one in found if one.name == name)
    calm = [
        replace(one, caller=Say(one.caller.text)) if isinstance(one.caller, Interrupt) else one
        for one in scenario.exchanges
    ]
    return Play(replace(scenario, exchanges=tuple(calm)), ROOT / "flows", load_folder(ROOT / "flows"))


def short_play(folder: Path) -> Play:
    """The shortest call, of some four seconds."""
    flows = folder / "flows"
    flows.mkdir()
    (flows / "visit.py").write_text(FLOW)
    return Play(SHORT, flows, load_folder(flows))


@dataclass
class Round:
    """Calls that are placed together."""

    made: Fleet
    play: Play
    faults: LineFaults = field(default_factory=LineFaults)
    placed_at: list[float] = field(default_factory=list)  # by the loop's clock
    opened: asyncio.Event = field(default_factory=asyncio.Event)  # the first stream of any
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None

    async def place(self) -> Survivor:
        """Place one, and see it through; its reports come later."""
        caller = self.play.caller()
        scenario = self.play.scenario
        phone = self.made.phone(
            caller,
            to=scenario.called_number,
            from_=scenario.caller_number,
            faults=self.faults,
            on_event=self._note,
        )
        self.placed_at.append(asyncio.get_running_loop().time())
        async with asyncio.timeout(CALL_LIMIT_S):
            result = await phone.call()
        return Survivor(result, (), caller.repeated)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StreamOpened):
            self.opened.set()
        self.on_event(event)

    async def reported(self, calls: Sequence[Survivor]) -> list[Survivor]:
        """The calls with their reports, as far as they come in time."""
        wanted = {call.result.call_sid for call in calls}
        with suppress(TimeoutError):
            await self.made.crm.wait_until(lambda: wanted <= reports_of(self.made.crm.received).keys(), REPORT_LIMIT_S)
        found = reports_of(self.made.crm.received)
        return [replace(call, reports=found.get(call.result.call_sid, ())) for call in calls]


@asynccontextmanager
async def world(
    store: str, play: Play, folder: Path, *, names: Sequence[str] = NAMES, address: str | None = None, **settings: str
) -> AsyncIterator[Fleet]:
    """Instances on this kind of store, or on the one at `address`; `folder` holds what they write."""
    brain = play.scenario.steady_brain()
    if store == "nginx":
        async with deployment(folder, lambda: brain, flows=play.flows, record=False, **settings) as behind_nginx:
            yield behind_nginx.made
        return
    data = folder / "instances"
    data.mkdir()
    with ExitStack() as stack:
        if store == "redis" and address is None:
            (folder / "redis").mkdir()
            address = stack.enter_context(RedisServer(folder / "redis")).address
        async with fleet(
            data,
            lambda: brain,
            flows=play.flows,
            environment=environment(),
            names=names[:1] if store == "workers" else names,
            workers=2 if store == "workers" else 1,
            store=address,
            settings=settings,
            record=False,
        ) as made:
            yield made


async def usual_call(made: Fleet, play: Play) -> tuple[Reported, float]:
    """A call that nothing happens to: its report, and when its stream closes, in ms since it was placed."""
    made.balancer.preferred = victims(made)[0]
    calls = Round(made, play)
    (call,) = await calls.reported([await calls.place()])
    if call.result.problems or len(call.reports) != 1 or call.repeated:
        log = "".join(line for one in made.instances.values() for line in one.log[-20:])
        raise ScenarioError(f"a call does not go well by itself: {call.result.problems}, {call.repeated}\n{log}")
    closed = next(event for event in call.result.events if isinstance(event, StreamClosed))
    return call.reports[0], closed.at_ms


# ---- kill -9 in mid-call --------------------------------------------------------------------------------------------


async def mid_call(store: str, *, withheld: bool, options: argparse.Namespace, chance: random.Random) -> Tally:
    """Kill the instance that has the calls, at a random moment, round after round."""
    tally = Tally(f"{store}, action {'withheld' if withheld else 'sent'}")
    with tempfile.TemporaryDirectory(prefix="voicebot-kills-") as name:
        play = play_of(options.scenario)
        async with world(store, play, Path(name)) as made:
            usual, ends_ms = await usual_call(made, play)
            for number in range(options.rounds):
                victim = victims(made)[number % 2]
                at_ms = chance.uniform(FIRST_KILL_MS, ends_ms - LAST_KILL_MS)
                faults = LineFaults(unnoticed_breaks=1 if withheld else 0, seed=number)
                stagger_s = min(STAGGER_S, at_ms / 1000 / options.calls)
                calls = await killed_calls(made, play, faults, victim, options.calls, at_ms / 1000, stagger_s)
                for call in calls:
                    judged = judge(call, usual, options.gap * 1000)
                    tally.add(call.result.call_sid, judged)
                    for problem in judged.wrong:
                        print(f"  round {number + 1}, kill at {at_ms / 1000:.1f} s: {problem}", flush=True)
    return tally


async def killed_calls(
    made: Fleet, play: Play, faults: LineFaults, victim: str, count: int, after_s: float, stagger_s: float
) -> list[Survivor]:
    """One round: the calls on one instance, its death, and the calls' ends; both instances are up again after it."""
    made.balancer.preferred = victim
    calls = Round(made, play, faults)
    async with asyncio.TaskGroup() as tasks:
        placed = []
        for _ in range(count):
            placed.append(tasks.create_task(calls.place()))
            await asyncio.sleep(stagger_s)
        await calls.opened.wait()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(calls.placed_at[0] + after_s - loop.time())
        carrying = next(event.url for event in calls.events if isinstance(event, StreamOpened)).rpartition("/")[2]
        victim = carrying if carrying in victims(made) else victim  # whichever of them has the first call
        pid = kill(made, victim)
    survivors = await calls.reported([task.result() for task in placed])
    await bring_back(made, victim, pid)
    return survivors


def victims(made: Fleet) -> list[str]:
    """What can be killed: instances, or the workers of the only one."""
    return [*(made.workers or made.instances)]


def kill(made: Fleet, victim: str) -> int:
    """Kill it; returns the id that its process had."""
    if victim in made.workers:
        pid = made.workers[victim].pids[-1]
        made.workers[victim].kill()
        return pid
    made.instances[victim].kill()
    return made.instances[victim].pid


async def bring_back(made: Fleet, victim: str, pid: int) -> None:
    """See it up again: a supervisor starts its workers by itself."""
    if victim in made.workers:
        await made.workers[victim].back(pid)
    else:
        await made.instances[victim].exited()
        await made.instances[victim].start()


# ---- kill -9 around the end -----------------------------------------------------------------------------------------


async def ends(store: str, options: argparse.Namespace, chance: random.Random) -> Tally:
    """Short calls, whose instance is killed while they end, are reported and delivered."""
    tally = Tally(f"{store}, around the end")
    with tempfile.TemporaryDirectory(prefix="voicebot-kills-") as name:
        play = short_play(Path(name))
        async with world(store, play, Path(name)) as made:
            _, ends_ms = await usual_call(made, play)
            left = options.ends
            while left > 0:
                count = min(left, options.calls if options.calls > 1 else 10)
                victim = chance.choice(victims(made))
                after_s = ends_ms / 1000 + chance.uniform(*AROUND_THE_END_S)
                for call in await killed_calls(made, play, LineFaults(), victim, count, after_s, DENSE_S):
                    tally.add(call.result.call_sid, judge_end(call))
                left -= count
                print(f"  {options.ends - left} calls, {tally.lost} lost, {tally.duplicates} twice", flush=True)
    return tally


# ---- SIGTERM --------------------------------------------------------------------------------------------------------


async def drain(store: str, options: argparse.Namespace) -> Tally:
    """SIGTERM while calls are on the line, the last one between its webhook and its stream."""
    tally = Tally(f"{store}, SIGTERM")
    with tempfile.TemporaryDirectory(prefix="voicebot-kills-") as name:
        play = play_of(options.scenario)
        async with world(store, play, Path(name), names=["a"]) as made:
            usual, _ = await usual_call(made, play)
            server, answered = made.instances["a"], 0
            calls = Round(made, play)

            def count(event: Event) -> None:
                nonlocal answered
                answered += isinstance(event, WebhookAnswered) and event.url.endswith("/twilio/voice")
                if answered == options.drain and server.running:
                    calls.on_event = lambda event: None
                    server.terminate()

            calls.on_event = count
            async with asyncio.TaskGroup() as tasks:
                placed = []
                for _ in range(options.drain):
                    placed.append(tasks.create_task(calls.place()))
                    await asyncio.sleep(STAGGER_S)
            ended_at = asyncio.get_running_loop().time()
            code = await server.exited()
            exit_s = asyncio.get_running_loop().time() - ended_at
            for call in await calls.reported([task.result() for task in placed]):
                tally.add(call.result.call_sid, judge(call, usual, options.gap * 1000))
            print(f"  exit code {code}, {exit_s:.2f} s after the last call", flush=True)
            if code or exit_s > EXIT_LIMIT_S:
                tally.wrong.append(f"exit code {code}, {exit_s:.2f} s after the last call")
            if tally.hit:
                tally.wrong.append(f"{tally.hit} calls were cut")
    return tally


async def rolling(store: str, options: argparse.Namespace) -> Tally:
    """Two instances are restarted one after the other under calls that are longer than the drain limit."""
    tally = Tally(f"{store}, rolling restart")
    with tempfile.TemporaryDirectory(prefix="voicebot-kills-") as name:
        play = play_of(options.scenario)
        async with world(store, play, Path(name), VOICEBOT_DRAIN_S=HANDED_OVER_S) as made:
            usual, _ = await usual_call(made, play)
            calls = Round(made, play)
            async with asyncio.TaskGroup() as tasks:
                placed = []
                for _ in range(options.rolling):
                    placed.append(tasks.create_task(calls.place()))
                    await asyncio.sleep(STAGGER_S)
                for instance in made.instances.values():
                    await instance.restart()
            for call in await calls.reported([task.result() for task in placed]):
                tally.add(call.result.call_sid, judge(call, usual, options.gap * 1000))
    return tally


# ---- a store that is away -------------------------------------------------------------------------------------------


async def outage(options: argparse.Namespace) -> Tally:
    """Redis is killed and restarted under calls, then killed once more and away for a while."""
    tally = Tally("redis, killed and away")
    with tempfile.TemporaryDirectory(prefix="voicebot-kills-") as name:
        play = play_of(options.scenario)
        with RedisServer(Path(name) / "redis") as server:
            async with world("redis", play, Path(name), address=server.address) as made:
                usual, _ = await usual_call(made, play)
                made.balancer.preferred = ""
                calls = Round(made, play)
                async with asyncio.TaskGroup() as tasks:
                    placed = []
                    for _ in range(options.outage):
                        placed.append(tasks.create_task(calls.place()))
                        await asyncio.sleep(STAGGER_S)
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                    await asyncio.sleep(AWAY_AFTER_S)
                    await asyncio.to_thread(server.kill)
                    await asyncio.sleep(AWAY_S / 2)
                    ready = [await one.get("/readyz") for one in made.instances.values()]
                    await asyncio.sleep(AWAY_S / 2)
                    await asyncio.to_thread(server.start)
                if not all(status == 503 and "store" in body for status, body in ready):
                    tally.wrong.append(f"while the store was away, instances said {ready}")
                for call in await calls.reported([task.result() for task in placed]):
                    tally.add(call.result.call_sid, judge(call, usual, options.gap * 1000))
                if tally.hit:
                    tally.wrong.append(f"{tally.hit} calls were cut")
                gaps = [sid for sid in (one.result().result.call_sid for one in placed) if _holes(server, sid)]
                tally.wrong += [f"{sid}: its journal has a hole" for sid in gaps]
    return tally


def _holes(server: RedisServer, call_sid: str) -> bool:
    """Whether an entry is missing in a call's journal."""
    with server.client() as client:
        found = client.xrange(f"voicebot:journal:{call_sid}")
    numbers = [int(entry_id.split(b"-")[0]) for entry_id, _ in found]
    return numbers != list(range(1, len(numbers) + 1)) or not numbers


# ---- the command ----------------------------------------------------------------------------------------------------


async def run(options: argparse.Namespace) -> list[Tally]:
    if options.outage:
        return [await outage(options)]
    chance = random.Random(options.seed)
    tallies = []
    for store in options.stores.split(","):
        if options.ends:
            tallies.append(await ends(store, options, chance))
        elif options.drain:
            tallies.append(await drain(store, options))
        elif options.rolling:
            tallies.append(await rolling(store, options))
        else:
            tallies += [
                await mid_call(store, withheld=action == "withheld", options=options, chance=chance)
                for action in options.actions.split(",")
            ]
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="kills of each kind (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=1, help="calls at once (default: %(default)s; at ends: 10)")
    parser.add_argument("--stores", default="sqlite,redis", help="sqlite, redis, workers, nginx (default: %(default)s)")
    parser.add_argument("--actions", default="sent,withheld", help="how the line learns (default: %(default)s)")
    parser.add_argument("--scenario", default="too far", help="of restaurant_ordering (default: %(default)s)")
    parser.add_argument("--gap", type=float, default=3.0, help="longest silence, in seconds (default: %(default)s)")
    parser.add_argument("--ends", type=int, default=0, metavar="CALLS", help="kill around the ends of so many calls")
    parser.add_argument("--drain", type=int, default=0, metavar="CALLS", help="SIGTERM under so many calls")
    parser.add_argument("--rolling", type=int, default=0, metavar="CALLS", help="restart both under so many calls")
    parser.add_argument("--outage", type=int, default=0, metavar="CALLS", help="take Redis away under so many calls")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    tallies = asyncio.run(run(options))
    print(HEAD)
    for tally in tallies:
        print(tally.row())
    complaints = [f"{tally.name}: {problem}" for tally in tallies for problem in tally.wrong]
    for complaint in complaints[:COMPLAINTS_SHOWN]:
        print(f"wrong: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
