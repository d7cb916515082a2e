"""Which portlets there are: built-in ones and those of plug-ins, by the entry points ``scigate.portlets``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from .portlet import Portlet

GROUP: Final = "scigate.portlets"


@dataclass(frozen=True)
class Found:
    """A portlet that is installed: its class, or why it cannot be used."""

    name: str
    package: str
    portlet: type[Portlet] | None
    problem: str | None = None

    @property
    def title(self) -> str:
        return (self.portlet and self.portlet.title) or self.name

    @property
    def order(self) -> int:
        return self.portlet.order if self.portlet else Portlet.order


class UnknownPortlet(LookupError):
    """There is no portlet of that name."""


def installed() -> list[Found]:
    """All portlets that are installed, in the order of the dashboard; what is broken says why (``problem``)."""
    return sorted(_found(), key=lambda found: (found.order, found.name))


def find(name: str) -> Found:
    """The portlet of that name. Raises ``UnknownPortlet``."""
    known = {found.name: found for found in installed()}
    if name not in known:
        raise UnknownPortlet(f"There is no portlet {name!r}. There are: {', '.join(known)}.")
    return known[name]


def _found() -> Iterator[Found]:
    """A name that is taken twice belongs to SciGate, else to the first."""
    names: set[str] = set()
    for point in sorted(entry_points(group=GROUP), key=lambda point: _package(point) != "scigate"):
        if point.name not in names:
            names.add(point.name)
            yield _load(point)


def _load(point: EntryPoint) -> Found:
    package = _package(point)
    try:
        portlet = point.load()
        if not (isinstance(portlet, type) and issubclass(portlet, Portlet)):
            raise TypeError(f"{point.value} is not a subclass of scigate.widgets.Portlet")
    except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way
        return Found(point.name, package, None, f"{type(error).__name__}: {error}")
    return Found(point.name, package, portlet)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"
