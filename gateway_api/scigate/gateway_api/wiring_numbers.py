"""The numbers for dashboards, put together."""

from __future__ import annotations

from datetime import UTC, datetime

from .presence import Presence
from .resources import Feedback
from .settings import Settings
from .status import Numbers
from .transfers.engine import Engine
from .transfers.progress import LiveProgress


def numbers(settings: Settings, engine: Engine, arriving: LiveProgress, presence: Presence) -> Numbers:
    """What the status tells beside its checks; ``arriving`` counts the bytes of uploads."""
    presence.others.append(engine.owners)
    return Numbers(
        users=presence.count,
        rate=lambda: max(engine.progress.total(), arriving.total()),
        registry=_registry(settings, datetime.now(UTC)),
        feedback=Feedback(request=settings.feedback.request, report=settings.feedback.report),
    )


def _registry(settings: Settings, read: datetime) -> str:
    if settings.source is None:
        return "built-in defaults: there is no scigate.toml"
    return f"file {settings.source.name}, read {read:%Y-%m-%d %H:%M} UTC"
