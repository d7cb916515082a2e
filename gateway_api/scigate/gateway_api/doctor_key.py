"""The doctor's look at the master key, from which the secrets of webhooks are derived."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from .events.webhooks_signing import FILE_NAME, read_key
from .resources import Check
from .settings import Settings
from .settings_errors import SettingsError

SHARED: Final = "Several gateways on one database need the same secret_key under [gateway]; one alone needs nothing."


def examine_key(settings: Settings) -> Iterator[Check]:
    """Whether there is a key that can be used, and nobody else can read it. Nothing is made."""
    if settings.gateway.secret_key is not None:
        yield Check(name="key", ok=True, message="secret_key is in the settings")
        return
    path = settings.gateway.state_dir / FILE_NAME
    step = None if settings.database_url.reveal().startswith("sqlite") else SHARED
    if not os.path.lexists(path):
        yield Check(name="key", ok=True, message=f"{path} is not there yet; 'scigate serve' makes it", next_step=step)
        return
    try:
        read_key(path)
    except SettingsError as error:
        message = error.problems[0].rstrip(".")
        yield Check(name="key", ok=False, message=message, next_step="Correct that; 'scigate serve' does not start so.")
        return
    yield Check(name="key", ok=True, message=f"{path} can be used, and others cannot read it", next_step=step)
