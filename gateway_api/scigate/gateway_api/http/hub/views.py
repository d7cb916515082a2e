"""What the pages show: plain HTML without any script. All text is data, and is escaped by the templates."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final, TypeAlias

from tornado.template import DictLoader

from ...actor import Actor, Role
from ...problems import Problem
from ...resources import Status, Transfer, TransferFile, TransferState
from ...transfers.machine import SCHEDULED

_JOINED: Final = r"(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"  # words of some scripts need joiners
_UNSEEN: Final = re.compile(rf"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|{_JOINED}")
REFRESH: Final = 10  # seconds; only where that was asked for (WCAG 2.2, success criterion 2.2.1)
_WORDS: Final = {
    TransferState.QUEUED: "Queued",
    TransferState.ACTIVE: "Moving",
    TransferState.WAITING: "Waiting",
    TransferState.PAUSED: "Paused",
    TransferState.CANCELLING: "Cancelling",
    TransferState.DONE: "Done",
    TransferState.FAILED: "Failed",
    TransferState.CANCELLED: "Cancelled",
}
_ROLES: Final = {Role.ADMIN: "admin", Role.CURATOR: "curator", Role.USER: "may write", Role.READER: "may look"}


@dataclass(frozen=True, slots=True)
class Links:
    """Where the page leads."""

    home: str
    sign_out: str
    hub: str


@dataclass(frozen=True, slots=True)
class Line:
    """A transfer as a line of the table."""

    name: str
    id: str
    state: str
    word: str
    percent: int | None
    """None: it is not known how much there is."""
    amount: str
    files: str
    moves: str
    """How fast, and how long it still takes."""
    created: datetime
    why: str
    """Why it waits or has failed."""
    next_step: str


@cache
def policy() -> str:
    """The Content-Security-Policy of all pages: no script, no frame, nothing from elsewhere, only this style sheet."""
    style = base64.b64encode(sha256(_style().encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )


Shown: TypeAlias = tuple[Transfer, TransferFile | None]
"""A transfer, and the first of its files if it has no label and one is known."""


def home(actor: Actor, status: Status, transfers: Sequence[Shown], links: Links, *, xsrf: str, refresh: bool) -> str:
    """How the gateway is, and the transfers of who looks."""
    rights = next(word for role, word in _ROLES.items() if role in actor.roles)
    return _page(
        "home.html", actor=actor, status=status, bad=[check for check in status.checks if not check.ok],
        lines=[line(*one) for one in transfers], links=links, xsrf=xsrf, rights=rights,
        refresh=REFRESH if refresh else None, since=duration((status.time - status.started).total_seconds()),
        version=status.version, moving=_moving(status.active),
    )  # fmt: skip


def trouble(problem: Problem, *, home: str, hub: str) -> str:
    """What went wrong, and what to do."""
    return _page("message.html", title=problem.title, text=_more(problem), next_step=problem.next_step, back=home,
                 back_text="To the page of the gateway", hub=hub)  # fmt: skip


def signed_out(*, home: str, hub: str) -> str:
    """The last page of a visit."""
    return _page("message.html", title="You are signed out", text="Your transfers go on.", back=home,
                 next_step="At the hub you may still be signed in.", back_text="Sign in again", hub=hub)  # fmt: skip


def line(transfer: Transfer, first: TransferFile | None = None) -> Line:
    """One line of the table."""
    total, done = transfer.bytes_total, transfer.bytes_done
    known = total > 0 and not transfer.listing
    percent = 100 if transfer.state is TransferState.DONE else min(99, 100 * done // total) if known else None
    cause = None if transfer.state in (TransferState.DONE, TransferState.ACTIVE) else transfer.cause
    return Line(
        shown(transfer.label) if transfer.label else _by_file(transfer, first), transfer.id, transfer.state.lower(),
        "Scheduled" if cause and cause.code == SCHEDULED else _WORDS[transfer.state], percent, _amount(transfer),
        _files(transfer), " · ".join(_moves(transfer)), transfer.created,
        shown(cause.message) if cause else "", cause.next_step if cause else "",
    )  # fmt: skip


def _amount(transfer: Transfer) -> str:
    """Nothing while it is not known how much there is."""
    total, done = transfer.bytes_total, transfer.bytes_done
    if not total and transfer.state is not TransferState.DONE:
        return ""
    return size(done) if done == total and not transfer.listing else f"{size(done)} of {size(total)}"


def _moving(count: int) -> str:
    words = {0: "Nothing is moving now.", 1: "One file, or batch of small ones, is moving now."}
    return words.get(count, f"{count} files, or batches of small ones, are moving now.")


def _by_file(transfer: Transfer, first: TransferFile | None) -> str:
    """What a transfer without a label is called."""
    if first is None:
        return f"Transfer {transfer.id[:8]}"
    name, storage = first.source.rstrip("/").rpartition("/")[2], first.destination.partition(":")[0]
    others = f" and {transfer.files.total - 1:,} more" if transfer.files.total > 1 else ""
    return shown(f"{name}{others} → {storage}")


def _files(transfer: Transfer) -> str:
    counts = transfer.files
    if counts.total == 1 and not transfer.listing:
        return "1 file"
    text = f"{counts.total:,} file{'s' if counts.total != 1 else ''}"
    if transfer.listing:
        text += " so far"
    return f"{text}, {counts.failed:,} failed" if counts.failed else text


def _moves(transfer: Transfer) -> Iterator[str]:
    if transfer.state is TransferState.ACTIVE and transfer.rate:
        yield f"{size(round(transfer.rate))}/s"
        if transfer.eta_seconds is not None:
            yield f"{duration(transfer.eta_seconds)} left"


def size(count: int) -> str:
    """Bytes for people, in units of 1024."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1000 or unit == "PiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """A time for people, in its largest unit."""
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = round(seconds / length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    count = max(1, round(seconds))
    return f"{count} second{'s' if count > 1 else ''}"


def shown(text: str) -> str:
    """A name as it can be sent and cannot look like another: what is not UTF-8, or not seen, is a visible mark."""
    return _UNSEEN.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))


def _more(problem: Problem) -> str:
    return "" if problem.detail == problem.title else shown(problem.detail)


def _page(template: str, **values: Any) -> str:
    page: bytes = _templates().load(template).generate(style=_style(), **values)
    return page.decode("utf-8")


@cache
def _style() -> str:
    return files(__package__).joinpath("style.css").read_text("utf-8")


@cache
def _templates() -> DictLoader:
    folder = files(__package__)
    names = ("page.html", "home.html", "message.html")
    return DictLoader({name: folder.joinpath(name).read_text("utf-8") for name in names})
