"""``scigate demo``: the main job on this machine, between real storages, with real files, checked independently.

``inputs`` brings the data and an HTTP server for them, ``service`` starts the storages and the gateway as processes of
their own, ``jobs`` is what a user does, ``witness`` reads the results without any code of SciGate, ``show`` prints.
``jupyter`` brings up a hub, or JupyterLab alone, with the gateway and a first ``notebook``.
"""

from __future__ import annotations

from .show import run, run_in_jupyter

__all__ = ["run", "run_in_jupyter"]
