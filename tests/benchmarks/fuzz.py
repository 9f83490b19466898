"""Hostile input for everything that reads what others wrote, much more of it than the tests try.

    python tests/benchmarks/fuzz.py                          10,000 inputs for each parser (slow ones: 1,000)
    python tests/benchmarks/fuzz.py --targets scenario       one of them
    python tests/benchmarks/fuzz.py --atheris 60             a minute, guided by coverage, shared by the parsers

The first makes inputs by shape (`tests/fuzz/inputs.py`), the second lets atheris (`pip install atheris`, Linux) find
its way from well-formed ones. A row says how many inputs were tried, the longest that one took, and how much the
process grew. Exit code 1 if anything but a declared error came out, or one input took more than two seconds of
processor time.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

EXAMPLES = 10_000
SLOW_SHARE = 10  # slow parsers get so many times fewer
LONGEST_S = 2.0
MOST_MEMORY_MIB = 1024


def memory_mib() -> float:
    """The most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_shape(name: str, examples: int) -> bool:
    """Try inputs of many shapes; returns whether all went as declared."""
    from hypothesis import HealthCheck, given, settings

    from tests.fuzz.inputs import inputs
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    tried, longest_s = 0, 0.0

    @settings(
        max_examples=examples // SLOW_SHARE if target.is_slow else examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target.seeds()))
    def attempt(data: bytes) -> None:
        nonlocal tried, longest_s
        began = time.process_time()
        target.feed(data)
        tried, longest_s = tried + 1, max(longest_s, time.process_time() - began)

    for seed in target.seeds():
        target.feed(seed)
    before_mib = memory_mib()
    failed = ""
    try:
        attempt()
    except Exception:  # noqa: BLE001 - whatever the fuzzer has found, it is shown
        failed = traceback.format_exc()
    grown_mib = memory_mib() - before_mib
    print(f"{name:16}{tried:9}{longest_s * 1000:14.0f}{grown_mib:12.1f}  {'FAILED' if failed else 'ok'}", flush=True)
    if failed:
        print(failed)
    return not failed and longest_s < LONGEST_S


def by_coverage(names: list[str], seconds: float) -> bool:
    """Let atheris look, in a process for each parser."""
    good = True
    for name in names:
        own_s = max(1, round(seconds / len(names)))
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--one", name, folder]
            limits = [f"-max_total_time={own_s}", f"-rss_limit_mb={MOST_MEMORY_MIB}", "-timeout=10", "-verbosity=1"]
            done = subprocess.run([*command, *limits], cwd=folder, capture_output=True, text=True, check=False)
        last = [line for line in done.stderr.splitlines() if line.startswith(("Done ", "#"))][-1:]
        print(f"{name:16} {own_s:4} s  {(last or ['no figure'])[0][:90]}  {'ok' if not done.returncode else 'FAILED'}")
        if done.returncode:
            good = False
            print((done.stdout + done.stderr)[-4000:])
    return good


def under_atheris(name: str, corpus: str, arguments: list[str]) -> None:
    """Run one parser under atheris; never returns."""
    import atheris

    with atheris.instrument_imports(include=["voicebot"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (Path(corpus) / f"seed{number}").write_bytes(seed)
    atheris.Setup([__file__, *arguments, corpus], target.feed)
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        under_atheris(sys.argv[2], sys.argv[3], sys.argv[4:])
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--atheris", type=float, metavar="SECONDS", help="guided by coverage, for so long in all")
    given = parser.parse_args()
    if given.atheris:
        return 0 if by_coverage(given.targets, given.atheris) else 1
    print(f"{'parser':16}{'inputs':>9}{'longest, ms':>14}{'grown, MiB':>12}")
    went_well = [by_shape(name, given.examples) for name in given.targets]
    return 0 if all(went_well) else 1


if __name__ == "__main__":
    sys.exit(main())
