"""The reference names every type of event that the journal writes, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import scigate.gateway_api
from scigate.gateway_api.resources import TransferState
from scigate.gateway_api.transfers.machine import What
from scigate.gateway_api.transfers.wishes import Wish

CODE = Path(scigate.gateway_api.__file__).parent
DOCS = Path(__file__).parents[3] / "docs" / "reference" / "events.md"
UPLOAD = re.compile(r"(?:_journal\(connection, |journal_line\()\"([a-z-]+)\"")
TRANSFER = re.compile(r"journal\(connection, [^\"]*\"transfer\.([a-z-]+)\"")


def written() -> set[str]:
    source = "".join(path.read_text() for part in ("transfers", "uploads") for path in (CODE / part).glob("*.py"))
    ended = {f"transfer.{state.lower()}" for state in TransferState if state.is_final}
    asked = {f"transfer.{wish}-asked" for wish in Wish} | {"transfer.progress"}
    uploads = {f"upload.{what}" for what in UPLOAD.findall(source)}
    transfers = {f"transfer.{what}" for what in TRANSFER.findall(source)}
    assert {"upload.created", "upload.received"} <= uploads
    assert "transfer.submitted" in transfers
    return ended | asked | uploads | transfers | {f"file.{what}" for what in What}


def documented() -> set[str]:
    found: set[str] = set()
    for line in DOCS.read_text().splitlines():
        if match := re.match(r"\| `scigate\.(\w+)\.", line):
            names = re.findall(r"`(?:scigate\.\w+|…\.*)\.([a-z-]+)`", line.split("|")[1])
            found |= {f"{match[1]}.{name}" for name in names}
    return found


def test_the_reference_names_every_type() -> None:
    assert documented() == written()
