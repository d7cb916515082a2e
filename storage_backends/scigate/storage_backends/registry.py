"""Backend types by entry point: what can be plugged in, imported on first use.

A plug-in is a ``BackendType`` under the entry point group ``scigate.storage_backends``. One that cannot be
imported is set aside with its reason; it never keeps the others from working.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from .backend import Backend
from .errors import Misconfigured

GROUP: Final = "scigate.storage_backends"
log = logging.getLogger(__name__)


class Connect(Protocol):
    """Opens a TCP connection; the gateway passes one that obeys its rules about where connections may go."""

    def __call__(self, host: str, port: int, timeout: float) -> socket.socket: ...


def connect_directly(host: str, port: int, timeout: float) -> socket.socket:
    """A plain connection, for storages that an administrator has configured."""
    return socket.create_connection((host, port), timeout)


class Options(BaseModel):
    """Base of every backend's options in ``scigate.toml``: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @property
    def root_url(self) -> str | None:
        """The storage's own URL of its root, ending in ``/``, without secrets; None: it has none."""
        return None


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, slots=True)
class BackendType(Generic[OptionsT]):
    """A kind of storage: its name in the settings, what it is in a few words, its options, how to open one."""

    name: str
    summary: str
    options: type[OptionsT]
    open: Callable[[OptionsT, Connect], Backend]

    def build(self, options: OptionsT, connect: Connect = connect_directly) -> Backend:
        """Open a storage. Must not touch the network: a storage that is down still has a name and a status."""
        return self.open(options, connect)


class BackendRegistry:
    """The backend types that are installed, each imported when it is first asked for."""

    def __init__(self, points: Iterable[EntryPoint] | None = None) -> None:
        found = entry_points(group=GROUP) if points is None else points
        self._points = {point.name: point for point in found}
        self._loaded: dict[str, BackendType[Any]] = {}
        self._broken: dict[str, str] = {}

    def names(self) -> list[str]:
        """All installed names, broken ones included."""
        return sorted(self._points)

    @property
    def broken(self) -> Mapping[str, str]:
        """Plug-ins that could not be imported so far: name → reason."""
        return self._broken

    def get(self, name: str) -> BackendType[Any]:
        """The type of this name. ``Misconfigured`` if it is not installed or broken, saying which."""
        if name not in self._points:
            raise Misconfigured(f"there is no storage backend {name!r}; installed: {', '.join(self.names())}")
        if name not in self._loaded and name not in self._broken:
            self._load(self._points[name])
        if name in self._broken:
            raise Misconfigured(f"the storage backend {name!r} cannot be used: {self._broken[name]}")
        return self._loaded[name]

    def load_all(self) -> None:
        """Import everything, so that ``broken`` is complete."""
        for point in self._points.values():
            if point.name not in self._loaded and point.name not in self._broken:
                self._load(point)

    def _load(self, point: EntryPoint) -> None:
        try:
            found = point.load()
            if not isinstance(found, BackendType):
                raise TypeError(f"{point.value} is a {type(found).__name__}, not a BackendType")
            self._loaded[point.name] = found
        except Exception as error:  # noqa: BLE001 a plug-in may fail in any way; it must not take the gateway down
            self._broken[point.name] = f"{type(error).__name__}: {error}"
            log.error("storage backend %r set aside: %s", point.name, self._broken[point.name])
