"""Recordings that only the holder of a key can hear: AES-256-GCM in chunks, with a key of each file's own.

    magic (8) | salt (16) | chunk | chunk | …        chunk: length of what follows (4) | nonce (12) | sealed audio

The file's key comes from the operator's by HKDF-SHA256 over the salt. A chunk is bound to its number and to the file's
head, so none can be changed, left out, or put elsewhere; the last one of a recording that came to its end says so. So a
file whose tail was cut can be heard up to the last whole chunk, and is known to be cut.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from voicebot.errors import RecordingError

from .keys import KEY_BYTES

MAGIC = b"VBREC\x00\x01\n"
SALT_BYTES, NONCE_BYTES, TAG_BYTES = 16, 12, 16
HEAD_BYTES = len(MAGIC) + SALT_BYTES
LENGTH_BYTES = 4
LONGEST_CHUNK = 1 << 22  # bytes of audio
_LENGTH = struct.Struct(">I")
_PLACE = struct.Struct(">QB")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was opened. `last`: the recording ends with it, and was not cut."""

    audio: bytes
    last: bool


class Seal:
    """The key of one file."""

    def __init__(self, key: bytes, head: bytes) -> None:
        """
        Args:
            key: the operator's.
            head: the first `HEAD_BYTES` of the file.
        """
        self._head = head
        derived = HKDF(SHA256(), KEY_BYTES, salt=head[len(MAGIC) :], info=b"voicebot recording").derive(key)
        self._cipher = AESGCM(derived)

    def chunk(self, number: int, audio: bytes, nonce: bytes, *, last: bool = False) -> bytes:
        """Chunk `number` (from 0), as it stands in the file. A nonce is used once."""
        sealed = self._cipher.encrypt(nonce, audio, self._place(number, last))
        return _LENGTH.pack(NONCE_BYTES + len(sealed)) + nonce + sealed

    def open(self, number: int, body: bytes) -> Chunk:
        """A chunk from the file, without its length.

        Raises:
            RecordingError: it is not chunk `number` of this file under this key.
        """
        for last in (False, True):
            try:
                audio = self._cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], self._place(number, last))
            except InvalidTag:
                continue
            return Chunk(audio, last)
        raise RecordingError(f"chunk {number} was changed or moved, or another key sealed it")

    def _place(self, number: int, last: bool) -> bytes:
        return self._head + _PLACE.pack(number, last)


def bodies(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The whole chunks of a file, without their lengths; `read` gives up to so many bytes behind the head.

    What is left of a chunk that was cut is passed over.
    """
    while len(length := read(LENGTH_BYTES)) == LENGTH_BYTES:
        size = _LENGTH.unpack(length)[0]
        if not NONCE_BYTES + TAG_BYTES <= size <= NONCE_BYTES + TAG_BYTES + LONGEST_CHUNK:
            raise RecordingError("a chunk has a length that none has")
        body = read(size)
        if len(body) < size:
            return
        yield body
