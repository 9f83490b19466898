"""A whole deployment on this machine: real instances behind one address, between twins of everything around them.

    phones ⇄ balancer ⇄ instances (processes) ⇄ model · CRM · Twilio's REST API · the store

`async with fleet(...) as made:` starts all of it, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .account import ACCOUNT_SID, AUTH_TOKEN, STREAM_SECRET, WEBHOOK_SECRET
from .balancer import Balancer
from .brain import Brain
from .call_book import CallBook
from .caller import Conversation
from .crm import CrmSink
from .dial_outcome import Dials
from .instance import Instance, Worker
from .line import LineFaults
from .phone import Phone
from .realtime_quirks import Quirks, Timing
from .realtime_server import API_KEY, RealtimeServer
from .timeline import Event
from .twilio_rest import TwilioRest

PUBLIC_HOST = "voice.example.com"


@dataclass(frozen=True)
class Front:
    """Where the public host is reached, as `host:port`; over TLS if there is somebody to trust."""

    address: str
    trust: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Fleet:
    """Instances at work, with their workers if they have several. `book` has the calls of all phones of `phone`.

    Phones come by the balancer, unless something else is put before the instances (`replace(made, front=…)`).
    """

    instances: dict[str, Instance]
    workers: dict[str, Worker]
    balancer: Balancer
    model: RealtimeServer
    crm: CrmSink
    rest: TwilioRest
    book: CallBook
    front: Front

    @property
    def public_url(self) -> str:
        """As Twilio sees it."""
        return f"https://{PUBLIC_HOST}"

    def phone(
        self,
        behaviour: Conversation,
        *,
        to: str = "+15550100000",
        from_: str = "+15550123456",
        faults: LineFaults | None = None,
        dial: Dials = (),
        on_event: Callable[[Event], None] | None = None,
    ) -> Phone:
        """A phone that will call one of them."""
        return Phone(
            f"{self.public_url}/twilio/voice",
            to=to,
            from_=from_,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            behaviour=behaviour,
            status_url=f"{self.public_url}/twilio/status",
            fallback_url=f"{self.public_url}/twilio/after",
            faults=faults or LineFaults(),
            dial=dial,
            via={PUBLIC_HOST: self.front.address},
            trust=self.front.trust,
            book=self.book,
            on_event=on_event,
        )

    def running(self) -> list[Instance]:
        """Instances whose process is there."""
        return [instance for instance in self.instances.values() if instance.running]


@asynccontextmanager
async def fleet(
    folder: Path,
    brain_factory: Callable[[], Brain],
    *,
    flows: Path,
    environment: Mapping[str, str],
    names: Sequence[str] = ("a", "b"),
    store: str | None = None,
    settings: Mapping[str, str] | None = None,
    workers: int = 1,
    arguments: Sequence[str] = (),
    ports: Sequence[int] = (),
    timing: Timing | Sequence[Timing] | None = None,
    quirks: Quirks | Sequence[Quirks] = (),
    record: bool = True,
) -> AsyncIterator[Fleet]:
    """Start the twins and one instance per name; whatever happens, all of it is gone at the end.

    Args:
        folder: where the instances run and keep their data; must exist. A `.env` file in it would be read.
        brain_factory: called once per connection to the model.
        flows: the folder of flows.
        environment: what the processes inherit, such as `os.environ` without what is secret.
        store: its address; None for one SQLite file that all share.
        settings: further variables; they go before those that are set here.
        workers: processes of each instance.
        arguments: of `voicebot serve`, besides.
        ports: where the instances listen, in the order of their names; they are free ones otherwise.
        record: keep every event of the model's; turn it off for hundreds of calls.

    Raises:
        ScenarioError: an instance did not start.
    """
    book = CallBook()
    instances: dict[str, Instance] = {}
    async with (
        RealtimeServer(brain_factory, timing=timing, quirks=quirks, record=record) as model,
        CrmSink(WEBHOOK_SECRET) as crm,
        TwilioRest(ACCOUNT_SID, AUTH_TOKEN, book) as rest,
        _log_readers(instances) as readers,
    ):
        variables = {
            **environment,
            "OPENAI_API_KEY": API_KEY,
            "VOICEBOT_REALTIME_URL": model.url,
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_API_URL": rest.url,
            "VOICEBOT_PUBLIC_URL": f"https://{PUBLIC_HOST}",
            "VOICEBOT_FLOWS": str(flows),
            "VOICEBOT_STORE": store or f"sqlite:///{folder}/calls.db",
            "VOICEBOT_WEBHOOK_URL": crm.url,
            "VOICEBOT_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "VOICEBOT_WEBHOOK_PRIVATE": "127.0.0.1",
            "VOICEBOT_SECRET": STREAM_SECRET,
            "VOICEBOT_SHED_LAG_MS": "0",  # the twins' own work is on the same machine
            **(settings or {}),
        }
        for name, port in zip(names, ports or [0] * len(names), strict=True):
            own = variables | {"VOICEBOT_INSTANCE": name}
            several = ("--workers", str(workers)) if workers > 1 else ()
            instances[name] = Instance(name, folder, own, readers, arguments=(*several, *arguments), fixed_port=port)
            await instances[name].start()  # one after the other: the first one makes the store
        numbers = range(1, workers + 1) if workers > 1 else ()
        crew = [Worker(instance, number) for instance in instances.values() for number in numbers]
        for worker in crew:
            await worker.back()
        async with Balancer(list(instances.values()), named=crew) as balancer:
            workers_by_name = {worker.name: worker for worker in crew}
            front = Front(balancer.address)
            yield Fleet(instances, workers_by_name, balancer, model, crm, rest, book, front)


@asynccontextmanager
async def _log_readers(instances: Mapping[str, Instance]) -> AsyncIterator[asyncio.TaskGroup]:
    """Where the instances' logs are read; at the end they are killed. An error of the body stays as it is."""
    group = await asyncio.TaskGroup().__aenter__()
    try:
        yield group
    finally:
        for instance in instances.values():
            instance.kill_all()
        await group.__aexit__(None, None, None)
