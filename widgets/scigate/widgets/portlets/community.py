"""What your communities share."""

from __future__ import annotations

from typing import ClassVar

from ..portlet import Portlet


class Community(Portlet):
    """What your communities share."""

    name: ClassVar[str] = "community"
    title: ClassVar[str] = "Community"
    order: ClassVar[int] = 50
