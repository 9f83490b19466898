"""What the machine gives: a server that passes mu-law straight through and does nothing else, under `voicebot load`.

    python tests/benchmarks/passthrough.py --calls 1,25,50,100

The way of the published examples that join Media Streams to the Realtime API: aiohttp on one side, the websockets
library's client on the other, a task for each direction, a dict for each message. No conversion, no flow, no journal,
no signatures, no report. The figures of `voicebot load` say most beside this row, taken in the same hour: processors
differ, and so do builds of Python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress

import uvloop
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PORT, MODEL_PORT, CORE = 8123, 9123, 1
URL, MODEL = f"http://127.0.0.1:{PORT}", f"127.0.0.1:{MODEL_PORT}"
PCMU = {"type": "audio/pcmu"}


async def voice(request: web.Request) -> web.Response:
    """Open a stream, and have it tell the caller's number."""
    caller = (await request.post())["From"]
    stream = f'<Stream url="ws://127.0.0.1:{PORT}/media"><Parameter name="caller" value="{caller}"/></Stream>'
    return web.Response(text=f"<Response><Connect>{stream}</Connect></Response>", content_type="text/xml")


async def status(request: web.Request) -> web.Response:
    """Nothing is done about it."""
    return web.Response(status=204)


class Bridge:
    """One call."""

    def __init__(self, phone: web.WebSocketResponse, model: ClientConnection, stream_sid: str) -> None:
        self._phone, self._model, self._stream_sid = phone, model, stream_sid
        self._latest_ms, self._began_ms, self._item_id = 0, 0, ""
        self._marks = 0  # that did not come back yet

    async def up(self) -> None:
        """From the phone to the model."""
        async for frame in self._phone:
            message = json.loads(frame.data)
            if message["event"] == "media":
                self._latest_ms = int(message["media"]["timestamp"])
                await self._tell(type="input_audio_buffer.append", audio=message["media"]["payload"])
            elif message["event"] == "mark":
                self._marks -= 1
            elif message["event"] == "stop":
                return

    async def down(self) -> None:
        """From the model to the phone."""
        async for text in self._model:
            event = json.loads(text)
            match event["type"]:
                case "response.output_audio.delta":
                    if event["item_id"] != self._item_id:
                        self._item_id, self._began_ms = event["item_id"], self._latest_ms
                    await self._play(event="media", media={"payload": event["delta"]})
                    await self._play(event="mark", mark={"name": "part"})
                    self._marks += 1
                case "input_audio_buffer.speech_started":
                    await self._stop()
                case "input_audio_buffer.committed":
                    await self._tell(type="response.create", response={})
                case "response.done":
                    for item in event["response"]["output"]:
                        if item["type"] == "function_call":
                            answer = {"type": "function_call_output", "call_id": item["call_id"], "output": "{}"}
                            await self._tell(type="conversation.item.create", item=answer)
                            await self._tell(type="response.create", response={})

    async def _stop(self) -> None:
        if self._marks > 0:
            await self._play(event="clear")
            heard_ms = self._latest_ms - self._began_ms
            cut = {"item_id": self._item_id, "content_index": 0, "audio_end_ms": heard_ms}
            await self._tell(type="conversation.item.truncate", **cut)
            await self._tell(type="response.cancel")
            self._item_id = ""

    async def _play(self, **message: object) -> None:
        await self._phone.send_str(json.dumps(message | {"streamSid": self._stream_sid}))

    async def _tell(self, **event: object) -> None:
        await self._model.send(json.dumps(event))


async def media(request: web.Request) -> web.WebSocketResponse:
    """Join a phone and a model until one of them ends."""
    phone = web.WebSocketResponse()
    await phone.prepare(request)
    await phone.receive()
    start = (await phone.receive_json())["start"]
    async with connect(f"ws://{MODEL}/v1/realtime?model=m", compression=None) as model:
        await model.recv()
        turns = {"type": "server_vad", "create_response": False, "interrupt_response": False}
        sides = {"input": {"format": PCMU, "turn_detection": turns}, "output": {"format": PCMU}}
        who = f"The caller is {start['customParameters']['caller']}."
        session = {"type": "realtime", "audio": sides, "instructions": who}
        await model.send(json.dumps({"type": "session.update", "session": session}))
        await model.send(json.dumps({"type": "response.create", "response": {}}))
        bridge = Bridge(phone, model, start["streamSid"])
        sides_at_work = [asyncio.ensure_future(bridge.up()), asyncio.ensure_future(bridge.down())]
        try:
            await asyncio.wait(sides_at_work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides_at_work:
                side.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed, ConnectionError):
                    await side
    return phone


def serve() -> None:
    """Serve until killed."""
    os.sched_setaffinity(0, {CORE})
    uvloop.install()
    app = web.Application()
    app.add_routes([web.post("/twilio/voice", voice), web.post("/twilio/status", status), web.get("/media", media)])
    web.run_app(app, host="127.0.0.1", port=PORT, access_log=None, print=None, loop=uvloop.new_event_loop())


def main() -> int:
    """Put the server under load, with the options of `voicebot load`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="only serve")
    options, load = parser.parse_known_args()
    if options.serve:
        serve()
        return 0
    server = subprocess.Popen([sys.executable, __file__, "--serve"])
    try:
        target = ["--url", URL, "--model-listen", MODEL, "--pid", str(server.pid), "--codec", "pcmu"]
        environ = os.environ | {"TWILIO_AUTH_TOKEN": "0" * 32}
        return subprocess.run([sys.executable, "-m", "voicebot", "load", *target, *load], env=environ).returncode
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
