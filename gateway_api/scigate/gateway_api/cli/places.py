"""What the words on the command line name: a file here, a location at a storage, or a URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import click

_STORAGE: Final = re.compile(r"[a-z0-9][a-z0-9-]*:/(?!/)")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class Kind(Enum):
    """Where something is."""

    HERE = auto()
    STORAGE = auto()
    URL = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A word of the command line, understood."""

    kind: Kind
    text: str

    @property
    def is_folder(self) -> bool:
        return self.text.endswith("/") or (self.kind is Kind.HERE and os.path.isdir(self.text))


def read_place(text: str) -> Place:
    """What ``text`` names. ``./x``, ``../x``, ``/x``, ``~/x`` and what exists is here; ``name:/x`` is at a storage.

    Raises ``UsageError`` for what is close to one of them but none.
    """
    if text == "-":
        raise click.UsageError("Standard input and output are not copied. For a file of this name write ./- .")
    if text in (".", "..") or text.startswith(("/", "./", "../", "~/")):
        return Place(Kind.HERE, os.path.expanduser(text))
    if scheme := _SCHEME.match(text):
        return _url(scheme[1].lower(), text)
    if _STORAGE.match(text):
        return Place(Kind.STORAGE, text)
    if ":" in text and not os.path.lexists(text):
        storage, _, path = text.partition(":")
        raise click.UsageError(
            f"{text!r} is neither a file here nor a location. For a storage write {storage}:/{path}, "
            f"for a file of this name ./{text}."
        )
    return Place(Kind.HERE, text)


def _url(scheme: str, text: str) -> Place:
    if scheme not in ("http", "https"):
        raise click.UsageError(
            f"{scheme}:// cannot be read. SciGate reads http:// and https://, and STORAGE:/PATH of the storages that "
            "'scigate ls' shows."
        )
    return Place(Kind.URL, text)
