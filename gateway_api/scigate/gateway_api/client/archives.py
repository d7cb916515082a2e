"""Fetching a folder as one archive: made while it is sent, proven by its manifest, then put in place at once."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx

from ..resources import ArchiveKind
from .arguments import choice
from .download import PartFile, Received, exists, locked
from .errors import DataDamaged, GatewayUnreachable, InvalidArgument, LocalFileError
from .session import Session

MANIFEST: Final = "SCIGATE-MANIFEST.json"
CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that has arrived whole: how many files are in it; path and reason of what was left out."""

    path: Path
    size: int
    files: int
    skipped: tuple[tuple[str, str], ...]


def kind_of(archive: Path, kind: str | None) -> ArchiveKind:
    """As asked, else as the name says."""
    said = kind or archive.suffix.removeprefix(".").lower()
    if kind is None and said not in set(ArchiveKind):
        text = f"{str(archive)!r} says neither .tar nor .zip."
        raise InvalidArgument(text, next_step="Give it such a name, or say the kind: kind='tar'.")
    return choice(ArchiveKind, said, "kind")


def fetch(
    session: Session, folder: str, target: Path, kind: ArchiveKind, *, overwrite: bool, received: Received
) -> Archive:
    """Download a folder's resource as an archive, and compare all files in it with the digests of its manifest.

    One that breaks off leaves nothing behind: ``GatewayUnreachable``. ``DataDamaged`` if a file is not what was sent.
    """
    if not overwrite and target.exists():
        raise exists(target)
    resource = f"{folder}?archive={kind}"
    with locked(target, resource) as part:
        try:
            part.record(None)
            _receive(session, resource, part, received)
            manifest = _proven(part.path, kind)
            size = part.size
            part.publish(overwrite)
        except OSError as error:
            text = f"{str(target)!r} cannot be written: {error.strerror or error}."
            raise LocalFileError(text, next_step="Choose another folder, or free space there.") from None
        except BaseException:
            part.forget()
            raise
        finally:
            part.leave()
    skipped = tuple((entry["path"], entry["reason"]) for entry in manifest["skipped"])
    return Archive(target, size, manifest["count"], skipped)


def _receive(session: Session, resource: str, part: PartFile, received: Received) -> None:
    try:
        with session.stream(resource, {"Accept-Encoding": "identity"}) as response:
            for chunk in response.iter_raw():
                part.append(chunk)
                received(len(chunk))
    except httpx.TransportError as error:
        raise GatewayUnreachable(
            f"The archive for {str(part.destination)!r} broke off after {part.size} bytes: {error}.",
            next_step="Get it again, or fetch the folder file by file, which goes on where it stopped: 'scigate get'.",
        ) from None


def _proven(archive: Path, kind: ArchiveKind) -> dict[str, Any]:
    """The manifest, once every file was found to be what it says."""
    try:
        digests, manifest = _tar(archive) if kind is ArchiveKind.TAR else _zip(archive)
    except (tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise DataDamaged(f"The archive that arrived cannot be read: {error}.") from None
    if manifest.get("complete") is not True:
        raise DataDamaged("The archive that arrived has no manifest at its end: it is not whole.")
    wanted = {file["name"]: file["sha-256"] for file in manifest["files"]}
    if wrong := {name for name in wanted.keys() | digests.keys() if wanted.get(name) != digests.get(name)}:
        raise DataDamaged(f"In the archive that arrived {min(wrong)!r} is not what was sent.")
    return manifest


def _tar(archive: Path) -> tuple[dict[str, str], dict[str, Any]]:
    digests: dict[str, str] = {}
    with tarfile.open(archive, "r:", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if member.name == MANIFEST and file:
                return digests, json.load(file)
            digests[member.name] = _sha256(file)
    return digests, {}


def _zip(archive: Path) -> tuple[dict[str, str], dict[str, Any]]:
    digests: dict[str, str] = {}
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            with zipped.open(info) as file:
                if info.filename == MANIFEST:
                    return digests, json.load(file)
                digests[info.filename] = _sha256(file)
    return digests, {}


def _sha256(file: IO[bytes] | None) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: IO[bytes] | None) -> Iterator[bytes]:
    while file and (chunk := file.read(CHUNK)):
        yield chunk
