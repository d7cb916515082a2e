"""Taking away again what was stored with wrong bytes: a file that is missing is better than one that lies."""

from __future__ import annotations

import logging

from scigate.storage_backends.backend import Backend, Entry
from scigate.storage_backends.errors import NotFound, StorageError

log = logging.getLogger(__name__)


def remove_wrong(destination: Backend, made: Entry) -> str:
    """Remove what was made with wrong bytes; the outcome in words. What is there may be somebody else's by now, and
    that may be all that is wrong: it is left alone."""
    try:
        if not _is_still(made, destination.stat(made.path)):
            return "somebody else has written there meanwhile, which was left alone"
        destination.delete(made.path)
    except NotFound:
        return "they are gone"
    except StorageError:
        log.error("wrong bytes could not be removed from %r", made.path)
        return "they could not be removed"
    return "they were removed"


def _is_still(made: Entry, now: Entry) -> bool:
    """By its identity where the storage remembers that, else by its version; where it tells neither, by its name."""
    if made.identity is not None and now.identity is not None:
        return now.identity == made.identity
    return made.version is None or now.version == made.version
