"""The demo's hub beside another one: what it listens on is its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scigate.gateway_api.demo import jupyter
from scigate.storage_backends.testing.servers import S3Server
from traitlets.config.loader import PyFileConfigLoader


def test_two_users_can_have_a_hub_on_one_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first port that people open may be the same: who comes second finds it taken, and gets another one."""
    monkeypatch.setattr(jupyter, "_running", _never_running)
    mine, yours = (_addresses(tmp_path / name) for name in ("mine", "yours"))
    assert len(mine) == 3
    assert mine & yours == set()


def _addresses(folder: Path) -> set[str]:
    folder.mkdir()
    s3 = S3Server("none", "http://127.0.0.1:1", "key", "secret", 1)
    with jupyter.hub(folder, jupyter.Storages(folder, s3, "http://127.0.0.1:2")):
        c = PyFileConfigLoader("jupyterhub_config.py", path=str(folder / "hub")).load_config()
    return {c.JupyterHub.hub_bind_url, c.TraefikProxy.traefik_api_url, c.JupyterHub.services[0]["url"]}


@contextmanager
def _never_running(*_: Any) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(pid=1)
