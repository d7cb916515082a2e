"""Where something is: ``<storage>:/<path>`` or an outside ``http(s)`` URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit

from .errors import InvalidName

LONGEST_PATH: Final = 4096  # bytes; PATH_MAX on Linux, above S3's 1,024
_STORAGE_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class Location:
    """A file or, with a trailing slash or the empty path, a folder of a storage."""

    storage: str
    path: str

    @property
    def is_folder(self) -> bool:
        return self.path == "" or self.path.endswith("/")

    def __str__(self) -> str:
        return f"{self.storage}:/{self.path}"


@dataclass(frozen=True, slots=True)
class Url:
    """An outside URL as a source. Printing it hides the query and any user name, which may carry secrets."""

    value: str

    @property
    def is_folder(self) -> bool:
        return False

    def __str__(self) -> str:
        return redact(self.value)

    def __repr__(self) -> str:
        return f"Url({self})"


Source: TypeAlias = Location | Url


def parse_source(text: str) -> Source:
    """Read a location or an ``http(s)`` URL. Raises ``InvalidName`` with the rule that is broken."""
    scheme = text.split("://", 1)[0].lower() if "://" in text else ""
    return Url(text) if scheme in _SCHEMES else parse(text)


def parse(text: str) -> Location:
    """Read ``storage:/path``. Raises ``InvalidName`` with the rule that is broken."""
    storage, colon, path = text.partition(":/")
    if not colon:
        raise InvalidName(
            f"{text!r} is not a location",
            next_step="Write storage:/path, for example archive:/run7/a.bam ('scigate ls' shows the storages).",
        )
    if path.startswith("/"):  # s3://bucket/key is no path of the storage that happens to be named s3
        raise InvalidName(
            f"{redact(text)!r} is neither a location nor an http or https URL",
            next_step="Write storage:/path with one slash; of outside URLs only http and https can be sources.",
        )
    if not _STORAGE_NAME.fullmatch(storage):
        raise InvalidName(f"{storage!r} is not the name of a storage: use a-z, 0-9 and '-', at most 63 characters")
    return Location(storage, check_path(path))


def check_path(path: str) -> str:
    """Return ``path`` if it can name something below a root, else raise ``InvalidName``."""
    if "\0" in path:
        raise InvalidName("a path cannot contain a NUL character", path=path)
    if ".." in path.split("/"):
        raise InvalidName(f"a path cannot contain '..': {path!r}", path=path)
    try:
        size = len(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise InvalidName(f"a path has only the surrogates U+DC80 to U+DCFF, which stand for bytes: {path!r}") from None
    if size > LONGEST_PATH:
        raise InvalidName(f"a path is at most {LONGEST_PATH} bytes long")
    return path


def join(folder: str, name: str) -> str:
    """The path of ``name`` below ``folder`` (empty, or with a trailing slash)."""
    return f"{folder}{name}" if folder == "" or folder.endswith("/") else f"{folder}/{name}"


def redact(url: str) -> str:
    """The URL without user name, password, query values and fragment, fit for logs and errors."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(unreadable URL)"
    query = "…" if parts.query else ""
    return urlunsplit(SplitResult(parts.scheme, host, parts.path, query, ""))
