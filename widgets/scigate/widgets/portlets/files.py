"""What is in the storages."""

from __future__ import annotations

from typing import ClassVar

from ..portlet import Portlet


class Files(Portlet):
    """What is in the storages."""

    name: ClassVar[str] = "files"
    title: ClassVar[str] = "Files"
    order: ClassVar[int] = 30
