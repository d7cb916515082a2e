"""The portlets that come with SciGate; ``upload()`` makes one, as one writes it in a notebook."""

from __future__ import annotations

from .community import Community
from .feedback import Feedback
from .files import Files
from .status import Status
from .transfers import Transfers
from .upload import Upload


def status() -> Status:
    """How the gateway is, in words, and what bandwidth to expect."""
    return Status()


def upload() -> Upload:
    """Send files, a folder or what a URL leads to."""
    return Upload()


def transfers() -> Transfers:
    """Your transfers, live."""
    return Transfers()


def files() -> Files:
    """What is in the storages."""
    return Files()


def community() -> Community:
    """What your communities share."""
    return Community()


def feedback() -> Feedback:
    """Ask for a feature, or report a bug."""
    return Feedback()
