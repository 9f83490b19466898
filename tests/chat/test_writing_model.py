"""A model that writes, as the call sees it."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import FakeModel
from voicebot.audio.formats import AudioFormat
from voicebot.call.ports import (
    AppendAudio,
    ClipRendered,
    CommitAudio,
    InsertHeard,
    ModelLost,
    RenderClip,
    Reply,
    ReplyAudio,
    ReplyAudioEnded,
    ReplyEnded,
    ReplyStarted,
    ReplyWords,
    Truncate,
)
from voicebot.chat.model import MS_PER_CHARACTER, WritingModel

PCMU = AudioFormat.PCMU_8K


def nominal(text: str, audio_format: AudioFormat = PCMU) -> int:
    return len(text) * MS_PER_CHARACTER * audio_format.bytes_per_ms


@pytest.mark.parametrize("audio_format", list(AudioFormat))
async def test_words_are_followed_by_audio_of_their_length(audio_format: AudioFormat) -> None:
    fake = FakeModel()
    model = WritingModel(fake, audio_format)
    fake.tell(ReplyStarted("r1"), ReplyWords("r1", "i1", "Two"), ReplyWords("r1", "i1", "Two it is.", final=True))
    started, words, audio, ended = await model.receive()
    assert (started, words) == (ReplyStarted("r1"), ReplyWords("r1", "i1", "Two it is.", final=True))
    assert isinstance(audio, ReplyAudio)
    assert (audio.reply_id, audio.item_id) == ("r1", "i1")
    assert len(audio.payload) == nominal("Two it is.", audio_format)
    assert ended == ReplyAudioEnded("r1", "i1")


async def test_unfinished_words_wait_for_the_whole() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    fake.tell(ReplyWords("r1", "i1", "Two"))
    fake.tell(ReplyEnded("r1", "completed"))
    assert await model.receive() == [ReplyEnded("r1", "completed")]


async def test_blank_words_have_no_audio() -> None:
    fake = FakeModel()
    fake.tell(ReplyWords("r1", "i1", " ", final=True))
    assert await WritingModel(fake, PCMU).receive() == [ReplyWords("r1", "i1", " ", final=True)]


async def test_statement_is_rendered_while_a_read_waits() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(model.receive())
        await asyncio.sleep(0)
        await model.send([RenderClip("k1", "Hello!", "en"), RenderClip("k2", "Bye.", "en")])
    one, other = reading.result()
    assert isinstance(one, ClipRendered) and isinstance(other, ClipRendered)
    assert (one.key, one.transcript, len(one.payload)) == ("k1", "Hello!", nominal("Hello!"))
    assert (other.key, other.transcript) == ("k2", "Bye.")
    assert fake.sent == []


async def test_statement_is_rendered_before_a_read() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    await model.send([RenderClip("k1", "Hello!", "en")])
    fake.tell(ReplyStarted("r1"))
    assert [type(event) for event in await model.receive()] == [ClipRendered]
    assert await model.receive() == [ReplyStarted("r1")]


async def test_rendering_loses_nothing_that_comes_with_it() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(model.receive())
        await asyncio.sleep(0)
        fake.tell(ReplyStarted("r1"))
        await model.send([RenderClip("k1", "Hello!", "en")])
    seen = [*reading.result()]
    while len(seen) < 2:
        seen += await model.receive()
    assert {type(event) for event in seen} == {ReplyStarted, ClipRendered}


async def test_what_concerns_audio_is_left_out() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    asked = Reply("r1", "Ask.", ())
    await model.send([AppendAudio(b"x"), InsertHeard("Hi"), CommitAudio(), Truncate("i1", 5), asked])
    await model.send([AppendAudio(b"x")])
    assert fake.sent == [InsertHeard("Hi"), asked]


async def test_loss_is_the_last_event_ever() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    fake.tell(ModelLost("gone", True))
    assert await model.receive() == [ModelLost("gone", True)]
    assert await model.receive() == [ModelLost("gone", True)]
    await model.close()
    assert fake.closed == 1


async def test_cancelled_read_can_be_repeated() -> None:
    fake = FakeModel()
    model = WritingModel(fake, PCMU)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await model.receive()
    fake.tell(ReplyStarted("r1"))
    assert await model.receive() == [ReplyStarted("r1")]
