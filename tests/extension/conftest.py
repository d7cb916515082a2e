"""A real Jupyter Server with the extension, and real gateways behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403 fixtures and hooks

VARIABLES = (
    "SCIGATE_URL", "SCIGATE_TOKEN", "SCIGATE_TOKEN_FILE", "SCIGATE_CONFIG", "SCIGATE_PUBLIC_PATH",
    "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER",
)  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What the extension sets does not reach other tests, nor what is set here it."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield monkeypatch
