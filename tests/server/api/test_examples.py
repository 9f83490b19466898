"""The examples of the operators' page, as they stand there, on a server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.docs.pages import marked
from tests.server.api.test_calls import shown, sid


def examples() -> list[str]:
    return marked("deploy/README.md", "api examples").splitlines()


async def test_examples_do_what_they_show(tmp_path: Path) -> None:
    async with shown(tmp_path) as made:
        await made.over(1, "A lemon cake, please.")
        values = {"URL": str(made.client.make_url("")).rstrip("/"), "TOKEN": "administers", "CALL": sid(1)}
        statuses = []
        for line in examples():
            filled = re.sub(r"\$([A-Z]+)", lambda name: values[name[1]], line)
            command, *words = shlex.split(filled)
            assert command == "curl"
            method, headers, content, url = "GET", {}, None, ""
            while words:
                match words.pop(0):
                    case "-X":
                        method = words.pop(0)
                    case "-H":
                        name, _, value = words.pop(0).partition(": ")
                        headers[name] = value
                    case "--json":
                        method, content = "POST", words.pop(0)
                        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
                    case word:
                        url = word
            async with made.client.session.request(method, url, headers=headers, data=content) as answer:
                await answer.read()
                statuses.append(answer.status)
    assert statuses == [200, 200, 200, 200, 409, 200, 200, 200, 204]  # the call is over: nothing is said in it
