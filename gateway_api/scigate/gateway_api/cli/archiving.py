"""``scigate get --archive``: a folder as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .local import counting
from .output import Common, emit, say, say_of

if TYPE_CHECKING:
    from ..client import Gateway

NOT_FETCHED = "nothing of it was kept. Get it again, or without --archive, which goes on where it stopped."


def fetch_archive(common: Common, gateway: Gateway, folder: str, target: str, kind: str, *, overwrite: bool) -> int:
    """Fetch a folder as an archive; into a folder it comes under the name of the one that was packed."""
    path = Path(target)
    if target.endswith("/") or path.is_dir():
        path /= f"{folder.rstrip('/').replace(':', '/').rpartition('/')[2]}.{kind}"
    with counting(NOT_FETCHED, Fetching=None) as (received,):
        got = gateway.get_archive(folder, path, kind=kind, overwrite=overwrite, received=received)
    if common.json:
        skipped = [{"path": name, "reason": reason} for name, reason in got.skipped]
        emit({"path": str(got.path), "size": got.size, "files": got.files, "skipped": skipped})
        return 0
    say_of(f"{got.path}: {got.files} files, {got.size} bytes, all digests compared")
    for name, reason in got.skipped:
        say(f"Left out: {name}: {reason}", color="yellow")
    return 0
