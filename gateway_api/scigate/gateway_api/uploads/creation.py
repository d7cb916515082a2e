"""What is asked to be uploaded, read and checked: what is stored is only what can be sent. No I/O."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from scigate.storage_backends.digests import start
from scigate.storage_backends.errors import InvalidName, NotRegular
from scigate.storage_backends.location import Location, check_path, parse

from ..problems import Problem
from ..resources import FolderToSend
from ..transfers.submission import said
from .appending import too_large
from .digesting import differing, not_as_promised
from .model import Kind, NewUpload
from .rows import PUT

TOLD: Final = 100  # mistakes of one manifest that are told
PROMISED_MAX: Final = 8  # digests promised for one upload


@dataclass(frozen=True, slots=True)
class Planned:
    """An upload that may be created. ``crc64nvme`` and ``complete`` are said of one whose bytes are here already."""

    id: str
    kind: str
    destination: Location | None = None
    length: int | None = None
    name: str | None = None
    metadata: str | None = None
    modified: float | None = None
    promised: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    crc64nvme: str = "0" * 16
    complete: bool = False


def plan(new: NewUpload, largest: int) -> Planned:
    """Check what can be checked without asking anybody. ``Problem`` 413 or 422, ``InvalidName``, ``NotRegular``."""
    if new.length is not None and new.length > largest:
        raise too_large(new.length, largest)
    if len(new.digests) > PROMISED_MAX:
        raise Problem(422, "invalid-digest", "Too many digests are promised.", next_step=f"Promise {PROMISED_MAX}.")
    destination = None if new.kind is Kind.PARTIAL else file_location(new.destination or "")
    empty = new.length == 0 and new.kind is not Kind.FINAL
    if empty and new.digests:
        nothing = {name: running.hexdigest() for name, running in start(new.digests).items()}
        if (name := differing(new.digests, nothing)) is not None:
            raise not_as_promised(name, new.digests[name], nothing[name])
    modified = None if new.modified is None else new.modified.timestamp()
    return Planned(
        new_id(), new.kind.value, destination, new.length, new.name, new.metadata, modified, dict(new.digests),
        new.parts, complete=empty,
    )  # fmt: skip


def plan_put(id: str, destination: Location, length: int, modified: float | None, crc64nvme: str) -> Planned:
    """A file that came in one request, and is whole."""
    return Planned(id, PUT, destination, length, modified=modified, crc64nvme=crc64nvme, complete=True)


def plan_folder(folder: FolderToSend, largest: int) -> list[Planned]:
    """One upload for each file of a manifest. ``Problem`` 422 that tells which files cannot be taken, and why."""
    root = parse(folder.destination)
    if not root.is_folder:
        raise NotRegular("the destination of a folder is a folder: end it with '/'", path=root.path)
    planned: list[Planned] = []
    errors: list[dict[str, str]] = []
    for index, file in enumerate(folder.files):
        pointer = f"/files/{index}"
        try:
            destination = Location(root.storage, check_path(root.path + _relative(file.path)))
        except InvalidName as error:
            errors.append({"pointer": f"{pointer}/path", "message": error.message, "next_step": error.next_step})
            continue
        if file.size > largest:
            problem = too_large(file.size, largest)
            errors.append({"pointer": f"{pointer}/size", "message": problem.title, "next_step": problem.next_step})
        modified = None if file.modified is None else file.modified.timestamp()
        name = file.path.rpartition("/")[2]
        planned.append(Planned(new_id(), Kind.WHOLE.value, destination, file.size, name, modified=modified,
                               complete=file.size == 0))  # fmt: skip
    errors = errors or list(_twins(folder))
    if errors:
        raise Problem(422, "invalid-manifest", "The folder cannot be accepted.", detail=errors[0]["message"],
                      next_step=errors[0]["next_step"], errors=errors[:TOLD])  # fmt: skip
    return planned


def file_location(text: str) -> Location:
    """The destination of one file. ``InvalidName``, or ``NotRegular`` for a folder."""
    location = parse(text)
    if location.is_folder:
        raise NotRegular("an upload needs the name of a file", path=location.path)
    return location


def fingerprint(new: NewUpload | FolderToSend) -> str:
    """The same for the same request, and only for it: an Idempotency-Key belongs to one request."""
    if isinstance(new, FolderToSend):
        text = repr(said(new, ("not_before", "deadline")))
    else:
        text = repr([new.kind, new.length, new.destination, new.overwrite, new.label, new.name, new.modified,
                     sorted(new.digests.items()), new.metadata, new.parts])  # fmt: skip
        text += repr([new.not_before, new.deadline]) if new.not_before or new.deadline else ""
    return hashlib.sha256(f"{type(new).__name__}{text}".encode("utf-8", "surrogateescape")).hexdigest()


def new_id() -> str:
    """An id that cannot be guessed (128 bits)."""
    return secrets.token_hex(16)


def _relative(path: str) -> str:
    """A path below the folder: names with single slashes between them."""
    if any(name in ("", ".", "..") for name in path.split("/")):
        raise InvalidName(
            f"{path[:200]!r} is not the path of a file below a folder",
            next_step="Write names with one '/' between them, such as plots/a.png.",
        )
    return path


def _twins(folder: FolderToSend) -> Iterator[dict[str, str]]:
    """Files that would be written over each other, or where one needs a folder that another one is."""
    seen: dict[str, int] = {}
    for index, file in enumerate(folder.files):
        if (first := seen.setdefault(file.path, index)) != index:
            message = f"it is the same path as that of /files/{first}"
            yield {"pointer": f"/files/{index}/path", "message": message, "next_step": "Send each file once."}
    for index, file in enumerate(folder.files):
        if (other := next((seen[above] for above in _above(file.path) if above in seen), None)) is not None:
            message = f"it lies below /files/{other}, which is a file"
            yield {"pointer": f"/files/{index}/path", "message": message, "next_step": "Rename one of them."}


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in, at most 100 of them: no storage nests deeper than its longest path."""
    names = path.split("/")[:101]
    for count in range(1, len(names)):
        yield "/".join(names[:count])
