"""Runs conformance cases on a storage, each in a folder of its own that is removed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Final

from ..backend import Backend, Kind
from ..errors import InvalidName, NotFound, StorageError
from . import drafting, extending, listing, naming, publishing, reading, recovering, writing
from .case import Bench, Case, Failed, Seed, Unseeded, listable
from .deviations import SOMETIMES

CASES: Final[tuple[Case, ...]] = (
    *reading.CASES,
    *listing.CASES,
    *writing.CASES,
    *writing.DELETING,
    *writing.READ_ONLY,
    *drafting.CASES,
    *publishing.CASES,
    *recovering.CASES,
    *naming.CASES,
    *extending.all_of_them(),
)
"""All cases, in the order in which they are best read."""


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    DEVIATES = "deviates"  # failed, as the table of deviations says
    STALE = "stale"  # passed, although the table of deviations says it fails
    UNCLAIMED = "unclaimed"  # not run: the backend does not claim it


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case ended; ``seen`` says what was seen, when it is not what the contract says."""

    case: Case
    outcome: Outcome
    seen: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.outcome not in (Outcome.FAILED, Outcome.STALE)


def run(
    open_backend: Callable[[], Backend],
    folder: str,
    *,
    seed: Seed | None = None,
    secrets: Iterable[str] = (),
    many: int = 1200,
    deviations: Mapping[str, str] | None = None,
) -> Iterator[CaseResult]:
    """Run every case in ``folder`` (with a trailing slash), which should not exist or be empty.

    ``open_backend`` gives a further, independent client of the same storage each time. ``seed`` stores a file
    where the backend itself is read-only. ``secrets`` must not show up in any error. ``many`` files are listed.
    """
    backend, deviations = open_backend(), deviations or {}
    for case in CASES:
        yield run_case(
            case, open_backend, folder, backend=backend, seed=seed, secrets=secrets, many=many, deviations=deviations
        )
    if not backend.limits.read_only:
        with suppress(StorageError):  # whatever else is in it keeps the folder; never more than an empty one goes
            backend.delete(folder)


def run_case(
    case: Case,
    open_backend: Callable[[], Backend],
    folder: str,
    *,
    backend: Backend | None = None,
    seed: Seed | None = None,
    secrets: Iterable[str] = (),
    many: int = 1200,
    deviations: Mapping[str, str],
) -> CaseResult:
    """Run one case in a folder of its own below ``folder`` and clear that up; ``backend`` is open already."""
    backend = backend or open_backend()
    if not case.claim(backend):
        return CaseResult(case, Outcome.UNCLAIMED, f"not claimed: {case.claim.__doc__ or 'see its limits'}")
    bench = Bench(backend, open_backend, f"{folder}{case.name}/", seed, tuple(secrets), many)
    began = perf_counter()
    try:
        seen = [_seen(lambda: case.check(bench)), _seen(lambda: clear(bench), "when clearing up ")]
    except Unseeded:
        return CaseResult(case, Outcome.UNCLAIMED, "not run: the storage is read-only, and there is no seed")
    first = next(filter(None, seen), "")
    return CaseResult(case, _outcome(first, deviations.get(case.name)), first, perf_counter() - began)


def clear(bench: Bench) -> None:
    """Remove whatever a case has left: its drafts, its files, its folders."""
    if bench.backend.limits.read_only:
        return
    for path, key, ref in bench.begun:
        with suppress(InvalidName):
            bench.backend.abandon(path, key=key, ref=ref, since=bench.since)
    if listable(bench.backend):
        _remove(bench.backend, bench.folder)


def _remove(backend: Backend, folder: str) -> None:
    with suppress(NotFound):
        for entry in list(backend.scan(folder, recursive=False)):
            if entry.kind is Kind.FOLDER and entry.path != folder:
                _remove(backend, entry.path)
            else:
                backend.delete(entry.path)
        backend.delete(folder)


def _seen(action: Callable[[], None], when: str = "") -> str:
    """What was seen against the contract; empty when there was nothing."""
    try:
        action()
    except Unseeded:
        raise
    except Failed as failure:
        return f"{when}{failure}"
    except StorageError as error:
        return f"{when}it failed with {type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 what is not a StorageError is exactly what is looked for
        return f"{when}it raised {type(error).__name__} ({error}), which is not a StorageError"
    return ""


def _outcome(seen: str, deviation: str | None) -> Outcome:
    if deviation is None:
        return Outcome.FAILED if seen else Outcome.PASSED
    if seen:
        return Outcome.DEVIATES
    return Outcome.PASSED if deviation.startswith(SOMETIMES) else Outcome.STALE
