"""A real nginx of the test's own with the configuration that is shipped, before instances on loopback.

`deploy/nginx/nginx.conf` is used as it is. The two files beside it that every deployment edits are edited here too:
addresses, ports, the certificate's path and those of the logs, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SHIPPED = Path(__file__).parents[1] / "deploy" / "nginx"
PUBLIC_HOST = "voice.example.com"
START_S = 60.0  # a loaded machine; it takes a twentieth of a second on an idle one
_OWN_PORTS = range(20_000, 32_000)  # below those that the system gives out: nobody else has them by chance
_chance = SystemRandom()


def nginx_program() -> str:
    """The program's path; skips the test where it is not installed."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")
    if found is None:
        pytest.skip("install nginx")
    return found


def free_port() -> int:
    """A port that nobody listens on, and that stays free while a server is started again."""
    while True:
        port = _chance.choice(_OWN_PORTS)
        with socket.socket() as some, contextlib.suppress(OSError):
            some.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            some.bind(("127.0.0.1", port))
            return port


class NginxServer:
    """nginx with what is shipped, from `with` on, in a folder of the test's.

    Args:
        instances: where they listen, by their names; those that the shipped file has.

    Attributes:
        tls_port, plain_port: where it is reached.
        trust: who believes its certificate.
    """

    def __init__(self, folder: Path, instances: Mapping[str, int]) -> None:
        self.folder, self._instances = folder, dict(instances)
        self.tls_port, self.plain_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        certificate = make_certificate(self.folder)
        self.trust = ssl.create_default_context(cadata=certificate)
        (self.folder / "nginx.conf").symlink_to(SHIPPED / "nginx.conf")  # what it includes is looked for beside this
        (self.folder / "public.conf").write_text(self._public())
        (self.folder / "instances.conf").write_text(self._where())
        self.check()
        self._start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(START_S)

    @property
    def address(self) -> str:
        """`host:port` of its TLS side."""
        return f"127.0.0.1:{self.tls_port}"

    def check(self) -> None:
        """Have it read its configuration, as `nginx -t` does."""
        done = subprocess.run([*self._command(), "-t"], capture_output=True, text=True, timeout=START_S, check=False)
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr

    def reload(self) -> None:
        """Have it read its configuration anew; connections that are there stay with the old worker processes."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def access_log(self) -> list[dict[str, str]]:
        """What it logged of requests that are over."""
        return [json.loads(line) for line in self.log_text("access.log").splitlines()]

    def log_text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def _public(self) -> str:
        text = (SHIPPED / "public.conf").read_text()
        for shipped, ours in (
            ("\nlisten 80 ", f"\nlisten 127.0.0.1:{self.plain_port} "),
            ("\nlisten 443 ", f"\nlisten 127.0.0.1:{self.tls_port} "),
            ("/etc/nginx/tls/fullchain.pem", str(self.folder / "certificate.pem")),
            ("/etc/nginx/tls/privkey.pem", str(self.folder / "key.pem")),
            ("/var/log/nginx/access.log", str(self.folder / "access.log")),
            ("/var/log/nginx/error.log", str(self.folder / "error.log")),
        ):
            assert text.count(shipped) == 1, shipped
            text = text.replace(shipped, ours)
        return text

    def _where(self) -> str:
        text = (SHIPPED / "instances.conf").read_text()
        for name, port in self._instances.items():
            assert text.count(f"server {name}:8080 ") == 2 + len(self._instances), name
            text = text.replace(f"server {name}:8080 ", f"server 127.0.0.1:{port} ")
        assert ":8080" not in text
        return text

    def _command(self) -> list[str]:
        # Where there is setpriv, a test run that is killed takes its servers along.
        with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        own = f"pid {self.folder}/pid; daemon off; error_log {self.folder}/error.log;"
        return [*with_us, nginx_program(), "-c", str(self.folder / "nginx.conf"), "-g", own]

    def _start(self) -> None:
        self.process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port), 1):
                return
            time.sleep(0.01)
        raise RuntimeError(f"nginx did not come up: {self.log_text('error.log')}")


def make_certificate(folder: Path) -> str:
    """A certificate of the public host, signed by itself; returns it, and writes it and its key into the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PUBLIC_HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(PUBLIC_HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    (folder / "certificate.pem").write_text(text)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return text
