"""All portlets on one page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import ipywidgets

from .portlet import Portlet
from .portlets.broken import Broken
from .registry import Found, find, installed

COLUMNS: Final = "repeat(auto-fit, minmax(min(100%, max(26rem, 40%)), 1fr))"
"""Two columns; on a narrow page one."""


class Dashboard(ipywidgets.GridBox):  # type: ignore[misc]  # ipywidgets is not typed
    """Portlets side by side where there is room for it, else one below the other; ``dashboard["upload"]`` is one."""

    def __init__(self, members: Iterable[tuple[str, Portlet]], **traits: Any) -> None:
        self._members = dict(members)
        for portlet in self._members.values():
            # As an area, since the page sets that last, and then the column would be lost.
            portlet.layout.grid_area = "auto / 1 / auto / -1" if portlet.wide else "auto"
            portlet.layout.min_width = "0"
        layout = ipywidgets.Layout(
            grid_template_columns=COLUMNS, grid_gap="12px", align_items="flex-start", width="100%"
        )
        super().__init__(children=tuple(self._members.values()), layout=layout, **traits)

    def __getitem__(self, name: str) -> Portlet:
        return self._members[name]

    def __repr__(self) -> str:
        return f"Dashboard({', '.join(self._members)})"


def dashboard(*names: str) -> Dashboard:
    """The dashboard: all portlets, or those that are named, in that order. Raises ``UnknownPortlet``.

    A plug-in that is broken shows its reason in its place; the others work.
    """
    chosen = [find(name) for name in names] if names else installed()
    return Dashboard((found.name, _made(found)) for found in chosen)


def _made(found: Found) -> Portlet:
    if found.portlet is None:
        return Broken(found.name, found.package, found.problem or "")
    if found.package == "scigate":
        return found.portlet()
    try:
        return found.portlet()
    except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way
        return Broken(found.title, found.package, f"{type(error).__name__}: {error}")
