"""The list of those who do not want to be called, as a file that changes."""

from __future__ import annotations

from pathlib import Path

from voicebot.server.do_not_call import DoNotCall

ADA, BOB = "+390612345678", "+14155550123"


async def test_without_a_list_nobody_is_on_it() -> None:
    assert await DoNotCall(None).numbers() == frozenset()


async def test_list_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(f"{ADA}\n")
    listed = DoNotCall(path)
    assert await listed.numbers() == {ADA}
    path.write_text(f"{ADA}\n{BOB}\n")
    assert await listed.numbers() == {ADA, BOB}


async def test_list_that_cannot_be_read_lets_nobody_be_called(tmp_path: Path) -> None:
    path = tmp_path / "list"
    listed = DoNotCall(path)
    assert await listed.numbers() is None
    path.write_text(f"{ADA}\nnobody\n")
    assert await listed.numbers() is None
    path.write_bytes(b"\xff\xfe")
    assert await listed.numbers() is None
    path.write_text(ADA)
    assert await listed.numbers() == {ADA}
    path.unlink()
    assert await listed.numbers() is None
