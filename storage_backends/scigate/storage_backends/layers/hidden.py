"""A storage of which the hidden files are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

from ..backend import Buffer, Entry, Extras
from ..errors import NotFound
from .layer import Layer

T = TypeVar("T")
_TIDYING: Final = frozenset({"abandon", "discard"})
"""What was begun before they were hidden has an end nevertheless."""


class HiddenLayer(Layer):
    """What has a name, or lies in a folder, that begins with a dot is ``NotFound``, and no such thing can be made."""

    @property
    def extras(self) -> Extras:
        wrapped = self.wrapped
        return replace(
            wrapped, copy=_both(wrapped.copy), copy_and_read=_both(wrapped.copy_and_read), move=_both(wrapped.move)
        )

    def call(self, operation: str, path: str, run: Callable[[], T], size: int = 0) -> T:
        if operation not in _TIDYING:
            refuse_hidden(path)
        return run()

    def reading(self, path: str, offset: int, start: Callable[[], Iterator[Buffer]]) -> Iterator[Buffer]:
        refuse_hidden(path)
        return start()

    def listing(self, prefix: str, start: Callable[[], Iterator[Entry]]) -> Iterator[Entry]:
        refuse_hidden(prefix)
        return (entry for entry in start() if not is_hidden(entry.path))


def is_hidden(path: str) -> bool:
    """Whether one of its names begins with a dot."""
    return any(name.startswith(".") for name in path.split("/"))


def refuse_hidden(path: str) -> None:
    """Raise ``NotFound`` for a hidden path, whether there is something or not."""
    if is_hidden(path):
        raise NotFound(
            f"there is nothing called {path!r}: names that begin with '.' are hidden here", path=path,
            next_step="Choose another name, or ask who runs this to show hidden files.",
        )  # fmt: skip


def _both(run: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The operation, of which the destination is looked at too."""
    if run is None:
        return None

    def checked(source: str, destination: str, *rest: Any, **about: Any) -> Any:
        refuse_hidden(destination)
        return run(source, destination, *rest, **about)

    return checked
