"""What stands in the place of a portlet that cannot be used."""

from __future__ import annotations

from typing import ClassVar

import traitlets

from ..portlet import Portlet


class Broken(Portlet):
    """Says in words why a plug-in cannot be shown, and who can mend it."""

    name: ClassVar[str] = "broken"

    subject = traitlets.Unicode(help="the portlet that should be here").tag(sync=True)
    package = traitlets.Unicode(help="the package that it comes from").tag(sync=True)
    reason = traitlets.Unicode(help="the error, in one line").tag(sync=True)

    def __init__(self, subject: str, package: str, reason: str) -> None:
        super().__init__(subject=subject, package=package, reason=reason[:500])
