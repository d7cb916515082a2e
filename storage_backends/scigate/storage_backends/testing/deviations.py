"""Where real servers deviate from the contract: server → case → why.

A deviating case is run and must fail; when it passes, its line here is out of date and the suite says so. Only a race
that a server loses now and then, marked by ``SOMETIMES``, may end either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SOMETIMES: Final = "sometimes: "

_NO_MARK: Final = "it cannot complete an upload without the part that marks its owner, so nobody can be fenced"
_NO_FOLDERS: Final = "it takes the object 'folder/' for a file 'folder'"
_FOLDER_500: Final = "it keeps files in a tree, and answers 500 where one would be below a file or replace a folder"
_NO_XML: Final = "beginning an upload, it repeats control characters of the name in its answer, which then is no XML"

DEVIATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "seaweedfs": {},
    "rclone": {
        "put.over-a-folder": _FOLDER_500,
        "put.below-a-file": _FOLDER_500,
        "put.whole-for-readers": SOMETIMES + "it replaces a file while it is being read and breaks off the answer",
        "manners.threads": SOMETIMES + "it removes a folder with its last file, also under who writes there",
        "delete.empty-folder": _NO_FOLDERS,
        "mkdir.made": _NO_FOLDERS,
        "draft.block-again": "it answers 501 to a part that it has already, or has of it what came before it broke off",
        "recover.taken-over": _NO_MARK,
        "recover.fenced-when-whole": _NO_MARK,
        "recover.fenced-keeps-off": _NO_MARK,
        "recover.abandoned": _NO_MARK + "; without its id an upload that has parts may be anybody's and stays",
        "name.kept-control": _NO_XML,
    },
    "moto": {
        "draft.if-absent-raced": SOMETIMES + "it looks first and completes then, so two may win",
        "put.if-absent-raced": SOMETIMES + "it looks first and stores then, so two may win",
        "put.whole-for-readers": SOMETIMES + "it closes an object that is replaced under who reads it, and answers 500",
        "draft.wrong-digests": "it completes an upload whose checksum is wrong; that is noticed when it is visible",
        "recover.abandoned": "it says that every upload was begun in 2010, so ours is not looked for",
        "name.kept-control": _NO_XML,
    },
}
