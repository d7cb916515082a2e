"""The user's transfers, live."""

from __future__ import annotations

from typing import ClassVar

import traitlets

from ..portlet import Portlet


class Transfers(Portlet):
    """Your transfers as they move. ``selected`` is the id of the one whose details are open, else ''."""

    name: ClassVar[str] = "transfers"
    title: ClassVar[str] = "Transfers"
    order: ClassVar[int] = 40
    wide: ClassVar[bool] = True

    selected = traitlets.Unicode(help="id of the transfer whose details are open").tag(sync=True)
