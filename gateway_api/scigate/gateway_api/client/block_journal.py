"""What was written to a part file, block by block, as its writer knew it: what was changed or lost since is found."""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from scigate.storage_backends.backend import MiB

BLOCK: Final = 8 * MiB  # what is fetched again, at most, after this process was killed
CHUNK: Final = MiB
_LINE: Final = re.compile(r"(\d{1,12}) ([0-9a-f]{16})")


class BlockJournal:
    """A file beside the part file: the version of the resource, then length and CRC-64/NVME of each block.

    Nothing of it has to be durable: after a power cut it says less than the part file holds, or what that does not
    hold, and both are found when the blocks are compared.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reset()

    def begin(self, resource: str, etag: str | None) -> None:
        """From here on another version is written, from its first byte on."""
        self._path.write_text(json.dumps({"resource": resource, "etag": etag}) + "\n")
        self._reset()

    def etag(self, resource: str) -> str | None:
        """The version that was begun of this resource; None if it was another one, or nothing can be gone on with."""
        with suppress(OSError, ValueError, AttributeError, IndexError):
            version = json.loads(self._lines()[0])
            if version.get("resource") == resource:
                return str(version["etag"]) if version.get("etag") else None
        return None

    def wrote(self, data: memoryview) -> None:
        """These bytes were appended."""
        self._crc.update(data)
        self._length += len(data)
        if self._length >= BLOCK:
            self.end_block()

    def end_block(self) -> None:
        """Note what was written since the last block. Raises ``OSError``."""
        if self._length:
            with self._path.open("a") as file:
                file.write(f"{self._length} {self._crc.hexdigest()}\n")
        self._reset()

    def proven(self, part: io.FileIO) -> int:
        """How many bytes at the beginning of the part file are what was written; what is behind them is forgotten."""
        first, *blocks = self._lines()
        part.seek(0)
        total, good = 0, [first]
        for block in blocks:
            found = _LINE.fullmatch(block)
            if found is None or _crc_of(part, int(found[1])) != found[2]:
                break
            total += int(found[1])
            good.append(block)
        kept = "".join(f"{line}\n" for line in good)
        if kept != self._path.read_text():
            self._path.write_text(kept)
        return total

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        return self._path.read_text().splitlines()

    def _reset(self) -> None:
        # Here, because the CRCs come with a library that takes its time.
        from scigate.storage_backends.digests import ALGORITHMS

        self._crc, self._length = ALGORITHMS["crc64nvme"](), 0


def _crc_of(part: io.FileIO, length: int) -> str:
    from scigate.storage_backends.digests import ALGORITHMS

    running = ALGORITHMS["crc64nvme"]()
    while length and (chunk := part.read(min(CHUNK, length))):
        running.update(chunk)
        length -= len(chunk)
    return "" if length else running.hexdigest()
