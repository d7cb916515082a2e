"""The gateway's advice in the words of who uses this client: it speaks to those who write requests themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SAME: Final = "Give the same command or call again: it goes on where it stopped"
_BY_CODE: Final[Mapping[str, str]] = {
    "upload-locked": "Try again in some seconds; let only one program send this file.",
    "offset-mismatch": f"{_SAME}.",
    "staging-full": f"{_SAME}, when other uploads have reached their storages; 'scigate uploads' shows yours.",
    "upload-elsewhere": "Try again; if it stays so, tell an admin: all requests of an upload belong to one gateway.",
    "upload-expired": "Send the file again: it begins anew.",
    "upload-gone": "Send the file again: it begins anew.",
    "across-storages": "Copy it ('scigate cp'), and remove the source ('scigate rm') when the copy is DONE.",
    "too-many-uploads": "Finish some, or end those that are not needed: 'scigate uploads' shows them.",
}
_COMMANDS: Final = {"storages": "scigate ls", "transfers": "scigate transfers", "uploads": "scigate uploads",
                    "webhooks": "scigate webhooks"}  # fmt: skip
_LISTED: Final = re.compile(r"(?:'scigate [a-z]+' and )?GET /api/v1/([a-z]+) shows? (those|them)")
_REQUESTS: Final = {"POST …/enable": "'scigate webhooks enable ID'",
                    "Send 'Authorization: Bearer <token>' with the token of your user.":
                    "Check SCIGATE_TOKEN, SCIGATE_TOKEN_FILE or ~/.config/scigate/token, whichever is there; "
                    "an admin can make a new token.",
                    "Correct the fields listed in 'errors'; see /docs.": "Correct what is named here."}  # fmt: skip


def for_people(code: str, next_step: str) -> str:
    """The next step for somebody who uses the command line or the Python client."""
    if known := _BY_CODE.get(code):
        return known
    text = _LISTED.sub(lambda found: f"{_command(found[1])} shows {found[2]}", next_step)
    for theirs, ours in _REQUESTS.items():
        text = text.replace(theirs, ours)
    return text


def _command(collection: str) -> str:
    return f"'{_COMMANDS.get(collection, 'scigate --help')}'"
