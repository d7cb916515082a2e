"""Promises about a file that is made of parts, held against the parts' bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scigate.storage_backends.digests import start

from .digesting import differing, not_as_promised
from .growing import READ
from .staging import Staging, failed


def check_promises(staging: Staging, parts: Sequence[str], promised: Mapping[str, str]) -> None:
    """Raise ``Problem`` 422 if the bytes of these uploads, one behind the other, have other digests than promised.

    Parts that are not here are for others to refuse."""
    if not promised or not all(staging.path(part).exists() for part in parts):
        return
    running = start(promised)
    for part in parts:
        try:
            with staging.path(part).open("rb") as file:
                while buffer := file.read(READ):
                    for digest in running.values():
                        digest.update(buffer)
        except OSError as error:
            raise failed(error) from None
    found = {name: digest.hexdigest() for name, digest in running.items()}
    if (name := differing(promised, found)) is not None:
        raise not_as_promised(name, promised[name], found[name])
