"""How the gateway is."""

from __future__ import annotations

from typing import ClassVar

from ..portlet import Portlet


class Status(Portlet):
    """How the gateway is, in words, who uses it, how fast it moves data and what bandwidth to expect."""

    name: ClassVar[str] = "status"
    title: ClassVar[str] = "Gateway"
    order: ClassVar[int] = 10
    wide: ClassVar[bool] = True
