"""Where wishes and bug reports go."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Final

import traitlets

from ..portlet import Portlet

TOLD: Final = ("scigate", "anywidget", "ipywidgets", "jupyter-server", "jupyterlab", "notebook", "voila", "jupyterhub")


class Feedback(Portlet):
    """Ask for a feature by mail, or report a bug with the versions filled in and no secrets."""

    name: ClassVar[str] = "feedback"
    title: ClassVar[str] = "Feedback"
    order: ClassVar[int] = 90

    versions = traitlets.Dict(help="of the kernel's packages, for bug reports").tag(sync=True)

    @traitlets.default("versions")
    def _versions(self) -> dict[str, str]:
        known = {"Python": platform.python_version(), "System": f"{platform.system()} {platform.machine()}"}
        return known | {name: found for name in TOLD if (found := _version(name))}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
