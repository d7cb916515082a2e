"""More kinds of operations: sources that are changed while they are copied, or go away just afterwards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from hashlib import sha256
from typing import Final

from .case import Content, Operation
from .plan import KINDS, Planner

LARGE: Final = "large-80.bin"
PATCH: Final = 4096


def changing(planner: Planner, key: str) -> Operation:
    """Its first and its last bytes become others: who has read the one before and the other after has neither."""
    made = planner._from_its_own(key, LARGE, "mid.bin")
    source = planner._ground.lab / planner._own(key)
    shutil.copyfile(planner._ground.lab / LARGE, source)
    data = bytearray(source.read_bytes())
    pieces = {at: bytes(byte ^ 0xFF for byte in data[at : at + PATCH]) for at in (0, len(data) - PATCH)}
    for at, piece in pieces.items():
        data[at : at + PATCH] = piece
    also = Content(sha256(data).hexdigest(), len(data))
    made.pieces = [replace(piece, also=also) for piece in made.pieces]
    made.changing = (str(source), pieces)
    made.outcomes = frozenset({"DONE", "FAILED"})
    return made


def outlived(planner: Planner, key: str) -> Operation:
    """The source goes away as soon as something new is at the destination."""
    made = planner._from_its_own(key, "mid.bin", None)
    piece = planner._piece("desk", f"{key}/there", planner._ground.contents[LARGE], "mid.bin")
    source = planner._ground.lab / planner._own(key)
    shutil.copyfile(planner._ground.lab / LARGE, source)
    files = [(made.files[0][0], f"desk:/{piece.path}")]
    made = Operation(key, "", [piece], files, "overwrite", frozenset({"DONE", "FAILED"}))
    made.vanishing, made.vanishes_when_there = str(source), True
    return made


KINDS["changing"] = changing
KINDS["outlived"] = outlived
