"""Reading a manifest: one file in each line of JSON, checked while it comes. No I/O but the checks given."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError
from scigate.storage_backends.errors import Permanent
from scigate.storage_backends.location import parse, parse_source

from ..problems import Problem
from ..resources import FileRequest
from ..validation import read_json_value, words
from .submission import Pair

FILES_MAX: Final = 2_000_000
LINE_MAX: Final = 64 << 10  # bytes
ERRORS_MAX: Final = 100
CORRECT: Final = "Correct the lines named in 'errors', and send it again."
_LINE: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class Lines:
    """The lines of a manifest as they come. ``check`` raises a ``Permanent`` error for a pair that may not be used."""

    check: Callable[[FileRequest], Pair]
    count: int = 0
    _rest: bytes = b""
    _errors: list[dict[str, str]] = field(default_factory=list)

    def take(self, data: bytes) -> bytes:
        """The next bytes; returns the whole lines among them, as they are kept. Raises ``Problem`` 422."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > LINE_MAX:
            raise _refused([_error(self.count, f"a line is longer than {LINE_MAX} bytes")])
        kept = [self._kept(line) for line in whole.split(b"\n") if line.strip()] if newline else []
        if self._errors:
            raise _refused(self._errors)
        return "".join(kept).encode()

    def end(self) -> bytes:
        """The last line, which needs no end of its own. Raises ``Problem`` 422."""
        last = self.take(b"\n")
        if self.count == 0:
            raise _refused([_error(0, "there is no file in it")])
        return last

    def _kept(self, line: bytes) -> str:
        self.count += 1
        if self.count > FILES_MAX:
            raise _refused([_error(self.count, f"a manifest has at most {FILES_MAX} files")])
        try:
            if len(line) > LINE_MAX:
                raise Permanent(f"a line is longer than {LINE_MAX} bytes", next_step=CORRECT)
            wanted = FileRequest.model_validate(read_json_value(line))
            pair = self.check(wanted)
            if pair.source.is_folder:
                raise Permanent(
                    f"{wanted.source} is a folder, and a manifest names files",
                    next_step="Submit folders with POST /api/v1/transfers.",
                )
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[:5]
            self._wrong("; ".join(": ".join([*map(str, item["loc"]), words(item)]) for item in wrong))
        except Permanent as error:
            self._wrong(error.message, error.next_step)
        except UnicodeDecodeError:
            self._wrong("it is not UTF-8")
        except json.JSONDecodeError:
            self._wrong("it is not a line of JSON")
        except ValueError as error:  # keys or constants that JSON must not have
            self._wrong(str(error))
        except RecursionError:
            self._wrong("it is nested too deeply")
        else:
            return _LINE([wanted.source, str(pair.destination)]) + "\n"
        return ""

    def _wrong(self, message: str, next_step: str | None = None) -> None:
        self._errors.append(_error(self.count, message) | ({"next_step": next_step} if next_step else {}))
        if len(self._errors) >= ERRORS_MAX:
            raise _refused(self._errors)


def packed(lines: bytes) -> bytes:
    """As they are stored."""
    return zlib.compress(lines, 1)


def pairs_in(stored: bytes) -> Iterator[Pair]:
    """The pairs of ``packed`` lines, which were found right before."""
    for line in zlib.decompress(stored).splitlines():
        source, destination = json.loads(line)
        yield Pair(parse_source(source), parse(destination))


def _error(line: int, message: str) -> dict[str, str]:
    return {"pointer": f"/line/{line}" if line else "", "message": message}


def _refused(errors: list[dict[str, str]]) -> Problem:
    first = errors[0]
    line = first["pointer"].rpartition("/")[2]
    return Problem(422, "invalid-transfer", "The manifest cannot be accepted.",
                   detail=f"line {line}: {first['message']}" if line else first["message"],
                   next_step=first.get("next_step", CORRECT), errors=errors)  # fmt: skip
