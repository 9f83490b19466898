"""The image, its steps taken in an empty folder; and what is installed there, tried outside the checkout."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Image, read
from tests.deploy.release import build_sdist, look_into, same_content, try_commands, wheel_from
from voicebot import __version__

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
LIMIT_S = 120.0
PORT = "8080"
SETTINGS = {
    "TWILIO_AUTH_TOKEN": "0" * 32,
    "VOICEBOT_PUBLIC_URL": "https://voice.example.com",
    "VOICEBOT_REALTIME_URL": "ws://127.0.0.1:9/v1/realtime",
    "VOICEBOT_DEFAULT_FLOW": "restaurant_ordering",
    "VOICEBOT_WEBHOOK_SECRET": "whsec_" + "c2Vj" * 10,
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Made once: everything is installed anew, from the lock."""
    made = Image(tmp_path_factory.mktemp("image"), ROOT)
    try:
        made.take(read(DOCKERFILE))
    except subprocess.CalledProcessError as exc:
        pytest.fail(f"{exc.cmd}\n{exc.stdout}\n{exc.stderr}")
    return made


@pytest.fixture(scope="module")
def wheel(image: Image) -> Path:
    (built,) = image.stage("build").glob("build/dist/*.whl")
    return built


def files(image: Image) -> dict[Path, int]:
    """Everything that is in the image but for its volume, with the time of its last change."""
    volumes = [Path(image.real(one)) for one in image.settings["VOLUME"]]
    found = (path for path in image.root.rglob("*") if not any(path.is_relative_to(one) for one in volumes))
    return {path: path.lstat().st_mtime_ns for path in found}


# ---- the image ------------------------------------------------------------------------------------------------------


class Container:
    """The server of an image, as its entry point starts it, on a free port of this machine."""

    def __init__(self, image: Image) -> None:
        self._image = image
        given = [*image.settings["ENTRYPOINT"], *image.settings["CMD"]]
        here = {PORT: "0", "0.0.0.0": "127.0.0.1"}
        words, environ, folder = image.command([here.get(word, word) for word in given], **SETTINGS)
        self.process = subprocess.Popen(words, env=environ, cwd=folder, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.log = ""
        for line in self.process.stderr:
            self.log += line
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = found[1]
                return
        raise AssertionError(f"it did not start:\n{self.log}")

    def healthy(self) -> bool:
        """What the health check of the image says."""
        check = [word.replace(f":{PORT}/", f":{self.port}/") for word in self._image.settings["HEALTHCHECK"]]
        words, environ, folder = self._image.command(check)
        return subprocess.run(words, env=environ, cwd=folder, timeout=LIMIT_S, capture_output=True).returncode == 0

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=LIMIT_S)
        self.log += rest
        return self.process.returncode


@pytest.fixture
def container(image: Image) -> Iterator[Container]:
    made = Container(image)
    yield made
    if made.process.poll() is None:
        made.stop(signal.SIGKILL)


def test_image_serves_is_healthy_and_stops_as_told(image: Image) -> None:
    before = files(image)
    container = Container(image)
    assert container.healthy()
    (name,) = image.settings["STOPSIGNAL"]
    assert container.stop(signal.Signals[name]) == 0
    assert not container.healthy()
    assert "Traceback" not in container.log
    assert files(image) == before  # so its file system may be read-only
    (volume,) = image.settings["VOLUME"]
    assert {path.name for path in Path(image.real(volume)).iterdir()} >= {"voicebot.db", "secret"}


def test_health_check_sees_that_it_hangs(image: Image, container: Container) -> None:
    container.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert not container.healthy()
    assert time.monotonic() - began < LIMIT_S
    container.process.send_signal(signal.SIGCONT)
    assert container.healthy()


def test_image_runs_as_the_user_whose_the_volume_is(image: Image) -> None:
    (user,) = image.settings["USER"]
    uid, _, gid = user.partition(":")
    made = {words[0]: words for words in image.noted}
    assert uid in made["useradd"] and gid in made["groupadd"]
    (volume,) = image.settings["VOLUME"]
    assert made["chown"][1:] == [user, image.real(volume)]
    assert Path(image.real(volume)).stat().st_mode & 0o777 == 0o700


def test_everybody_may_read_what_is_installed(image: Image) -> None:
    volumes = [Path(image.real(one)) for one in image.settings["VOLUME"]]
    closed = [
        path
        for path in files(image)
        if path not in volumes and not path.is_symlink() and path.stat().st_mode & 0o444 != 0o444
    ]
    assert closed == []


def test_nothing_that_builds_is_left_in_the_image(image: Image) -> None:
    packages = {path.name for path in image.root.glob("opt/voicebot/lib/python*/site-packages/*")}
    assert {"voicebot", "redis", "orjson", "uvloop", "opentelemetry"} <= packages
    assert not {"pip", "hatchling", "setuptools", "tests", "pytest"} & packages
    assert {path.name for path in image.root.iterdir()} == {"srv", "opt"}
    assert {path.name for path in (image.root / "srv" / "voicebot").iterdir()} == {"data", "flows"}


# ---- the wheel in it ------------------------------------------------------------------------------------------------


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    look_into(wheel)


def test_sdist_builds_the_same_wheel(image: Image, wheel: Path, tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(image.stage("build") / "opt" / "build"), "PATH": "/usr/bin:/bin"}
    sdist = build_sdist(sys.executable, ROOT, tmp_path / "sdist", environ)
    assert same_content(wheel_from(sdist, sys.executable, tmp_path / "wheel", environ), wheel)


def test_newcomers_commands_run_outside_the_checkout(image: Image, tmp_path: Path) -> None:
    rehearsal = ("test", "restaurant_ordering", "--quick", "--variations", "1")  # in words: `demo` has the audio
    printed = try_commands(image.root / "opt" / "voicebot" / "bin" / "voicebot", tmp_path, rehearsal)
    assert printed["--version"].strip() == __version__
    assert "0 errors, 0 warnings" in printed["check"]
    assert "All as it should be." in printed["demo"]
    assert " 0 failed" in printed["test"]
    assert (tmp_path / "voicebot-demo.wav").stat().st_size > 100_000
