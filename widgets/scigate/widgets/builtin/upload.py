"""Send files, a folder or what a URL leads to."""

from __future__ import annotations

from typing import ClassVar

from ..portlet import Portlet


class Upload(Portlet):
    """Send files, a folder or what a URL leads to."""

    name: ClassVar[str] = "upload"
    title: ClassVar[str] = "Upload"
    order: ClassVar[int] = 20
