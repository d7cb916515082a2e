"""What a portlet is: a panel of the dashboard, built in or brought by a plug-in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Final

import anywidget
import traitlets

STATIC: Final = Path(__file__).parent / "static"
KIT: Final = "scigate"
"""The bundle with what portlets share; in front of a plug-in's own module it is the variable ``scigate``."""


class Portlet(anywidget.AnyWidget):
    """A panel in a notebook cell that follows the gateway by itself, also while the kernel is busy.

    A subclass has a ``name`` (which is also a class in the page, ``scigate-<name>``) and a ``title``. Its JavaScript is
    the bundle ``static/<name>.js``, or for plug-ins ``_esm``: text of a module, which finds the kit as ``scigate``.
    Whatever is a synchronised trait may be saved in the notebook: never put a secret into one.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    order: ClassVar[int] = 60
    """Place in the dashboard: status 10, upload 20, files 30, transfers 40, community 50, feedback 90."""
    wide: ClassVar[bool] = False
    """Whether it takes the whole width of the dashboard."""

    base_url = traitlets.Unicode(help="of the Jupyter Server, for pages that do not say it").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        traits.setdefault("layout", {"width": "100%", "min_width": "0"})  # also side by side in an HBox
        super().__init__(_esm=_module(type(self)), **traits)

    @traitlets.default("base_url")
    def _base_url(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")


def _module(portlet: type[Portlet]) -> str:
    """The JavaScript module of a portlet."""
    own = getattr(portlet, "_esm", None)
    if own is None or isinstance(own, traitlets.TraitType):
        return bundle(portlet.name)
    return f"{bundle(KIT)}\n{own}"


def bundle(name: str) -> str:
    """The text of a bundle. Raises ``FileNotFoundError`` in a checkout whose bundles are not built."""
    path = STATIC / f"{name}.js"
    if not path.is_file():
        raise FileNotFoundError(
            f"The JavaScript of SciGate's portlets ({path.name}) is not there. In a checkout build it: ./run bundles"
        )
    return path.read_text(encoding="utf-8")
