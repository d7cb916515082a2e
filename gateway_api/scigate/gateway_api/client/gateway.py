"""The gateway as an object: what a notebook or a program does with it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from scigate.storage_backends.location import Location

from ..resources import (
    Entry,
    MoveRequest,
    Overwrite,
    Status,
    Storage,
    Submitted,
    Transfer,
    TransferState,
    Verify,
)
from . import download, upload
from .access import find
from .arguments import choice, location, transfer_request
from .errors import (
    Conflict,
    FilesNotFetched,
    GatewayError,
    GatewayUnreachable,
    InvalidLocation,
    LocalFileError,
    RequestInvalid,
    RequestRefused,
)
from .handle import TransferGroup, TransferHandle, pages
from .progress import printable
from .session import Session, file_path, parse

LABEL_MAX: Final = 200
WORTH_ASKING: Final = 8 << 20  # bytes; before more are sent, the destination is looked at
AT_ONCE: Final = 4  # files of a folder that are sent or fetched at the same time


class Gateway:
    """A connection to a gateway, as one user. May be used by many threads; close it or use it in ``with``.

    ``url`` and ``token`` are found in the environment and in files when they are not given; see ``access.find``.
    ``patience`` is how long a gateway that does not answer is asked again before ``GatewayUnreachable`` is raised;
    ``timeout`` how long one answer may take (an upload ends with the gateway checking and storing what it got).
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        patience: timedelta = timedelta(seconds=5),
        timeout: timedelta = timedelta(minutes=10),
    ) -> None:
        self._session = Session(find(url, token), patience, timeout)

    @property
    def url(self) -> str:
        return self._session.access.url

    # Moving data -----------------------------------------------------------------------------------------------

    def put(
        self,
        local: str | os.PathLike[str],
        destination: str,
        *,
        overwrite: Overwrite | str = Overwrite.FAIL,
        label: str | None = None,
        hashed: upload.Count = lambda count: None,
        sent: upload.Count = lambda count: None,
    ) -> TransferHandle | TransferGroup:
        """Send a local file, or a folder with all below it, to a storage.

        Returns when the gateway has all bytes, has checked their SHA-256 and has promised to deliver them; ``wait``
        on the result waits for the delivery. A destination ending in ``/`` keeps the file's name; what is in a
        folder goes below the destination, its tree kept. ``label`` is the file's name if nothing else is given: the
        transfers of a folder, one for each file, are told apart by it. A file is read twice: hashed, then sent;
        ``hashed`` and ``sent`` are called with the bytes since their last call.
        """
        path, target = Path(local), location(destination)
        how = upload.How(choice(Overwrite, overwrite, "overwrite"), label, hashed, sent)
        if path.is_dir():
            return self._put_folder(path, target, how)
        return self._put_file(path, _named(target, path.name), path.name, how)

    def pull(self, url: str, destination: str, **options: Any) -> TransferHandle:
        """Have the gateway fetch an ``http(s)`` URL to a storage; no byte passes through this machine."""
        return self.submit([(url, destination)], **options)

    def copy(self, source: str, destination: str, **options: Any) -> TransferHandle:
        """Copy a file, or a folder (``storage:/folder/``) with all below it, between storages."""
        return self.submit([(source, destination)], **options)

    def submit(
        self,
        files: Iterable[tuple[str, str]],
        *,
        overwrite: Overwrite | str = Overwrite.FAIL,
        verify: Verify | str = Verify.AUTO,
        priority: int = 5,
        label: str | None = None,
        idempotency_key: str | None = None,
    ) -> TransferHandle:
        """Submit many (source, destination) pairs as one transfer.

        Asked again on connection errors with the same Idempotency-Key, so it is accepted once or not at all.
        """
        request = transfer_request(
            files=[{"source": source, "destination": destination} for source, destination in files],
            overwrite=overwrite, verify=verify, priority=priority, label=label,
        )  # fmt: skip
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        body = request.model_dump(mode="json", exclude_none=True)
        response = self._session.send("POST", "transfers", repeatable=True, body=body, headers=headers)
        submitted = parse(Submitted, response)
        return TransferHandle(self._session, submitted.transfer, replayed=submitted.replayed)

    def get(
        self,
        source: str,
        local: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        received: download.Received = lambda count: None,
    ) -> download.Download:
        """Fetch a file to this machine: a folder or a path ending in ``/`` keeps its name.

        It arrives under another name, is checked by size, and by digest if its storage keeps one, made durable and then
        renamed. Broken off, it goes on where it stopped, also in another process. ``received`` is called with the bytes
        since the last call.
        """
        found = location(source)
        if found.is_folder:
            raise InvalidLocation(f"{source!r} is a folder.", next_step="Fetch it with get_folder(), or name a file.")
        target = Path(local)
        if str(local).endswith("/") or target.is_dir():
            target /= found.path.rpartition("/")[2]
        resource = file_path(found.storage, found.path)
        return download.fetch(self._session, resource, target, overwrite=overwrite, received=received)

    def get_folder(
        self,
        source: str,
        local: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        received: download.Received = lambda count: None,
    ) -> list[download.Download]:
        """Fetch a folder with all below it, its tree kept; a file that fails does not keep the others from coming.

        Raises ``FilesNotFetched``, which says what failed and holds what arrived.
        """
        arrived: list[download.Download] = []
        failed: dict[str, GatewayError] = {}
        for got in self.get_each(source, local, overwrite=overwrite, received=received):
            if isinstance(got, download.Download):
                arrived.append(got)
            else:
                failed[got[0].location] = got[1]
        if failed:
            raise FilesNotFetched(failed, arrived)
        return arrived

    def get_each(
        self,
        source: str,
        local: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        received: download.Received = lambda count: None,
    ) -> Iterator[download.Download | tuple[Entry, GatewayError]]:
        """``get_folder`` file by file, for trees of any size: fetches while it is iterated, and yields what arrived,
        and what did not with its error."""
        root = location(source)

        def fetch(entry: Entry) -> download.Download | tuple[Entry, GatewayError]:
            try:
                target = Path(local, _below(root, entry))
                return self.get(entry.location, target, overwrite=overwrite, received=received)
            except GatewayError as error:
                return entry, error

        yield from _in_threads(fetch, self.ls(source, recursive=True))

    # Looking ---------------------------------------------------------------------------------------------------

    def ls(self, folder: str, *, recursive: bool = False, page_size: int = 1000) -> Iterator[Entry]:
        """What is in a folder; recursive: every file at any depth. Streamed, so any size is fine."""
        found = location(folder)
        path = found.path if found.is_folder else found.path + "/"
        options = {"recursive": 1 if recursive else None, "limit": page_size}
        return pages(self._session, Entry, file_path(found.storage, path), **options)

    def stat(self, file: str) -> Entry:
        """What is at a location. ``NotFound`` if nothing is."""
        found = location(file)
        return self._session.read(Entry, file_path(found.storage, found.path), {"meta": 1})

    def storages(self) -> list[Storage]:
        """The storages that this user may use."""
        return list(pages(self._session, Storage, "storages"))

    def storage(self, name: str) -> Storage:
        """One storage, by name."""
        return self._session.read(Storage, f"storages/{name}")

    def transfers(self, state: TransferState | str | None = None) -> Iterator[TransferHandle]:
        """This user's transfers, newest first; all or those in one state."""
        wanted = choice(TransferState, state.upper(), "state") if state else None
        for transfer in pages(self._session, Transfer, "transfers", state=wanted):
            yield TransferHandle(self._session, transfer)

    def transfer(self, id: str) -> TransferHandle:
        """A transfer by its id."""
        return TransferHandle(self._session, self._session.read(Transfer, f"transfers/{_one_segment(id)}"))

    def status(self) -> Status:
        """How the gateway is."""
        return self._session.read(Status, "status")

    # Changing --------------------------------------------------------------------------------------------------

    def delete(self, file: str) -> None:
        """Remove a file, or an empty folder (``storage:/folder/``)."""
        found = location(file)
        self._session.send("DELETE", file_path(found.storage, found.path), repeatable=False)

    def mkdir(self, folder: str) -> Entry:
        """Make a folder and those above it; there already is fine."""
        found = location(folder)
        path = found.path if found.is_folder else found.path + "/"
        return parse(Entry, self._session.send("POST", file_path(found.storage, path), repeatable=True))

    def move(self, source: str, destination: str, *, overwrite: bool = False) -> Entry:
        """Rename a file within its storage, atomically."""
        request = MoveRequest(source=str(location(source)), destination=str(location(destination)), overwrite=overwrite)
        body = request.model_dump(mode="json")
        return parse(Entry, self._session.send("POST", "moves", repeatable=False, body=body))

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Gateway({self.url!r})"

    def _put_folder(self, folder: Path, root: Location, how: upload.How) -> TransferGroup:
        refused: dict[str, str] = {}
        outage: list[GatewayUnreachable] = []
        prefix = root.path if root.is_folder else root.path + "/"

        def send(found: tuple[Path, str]) -> TransferHandle | None:
            path, name = found
            try:
                if outage:  # one file has waited long enough for the gateway; the others need not
                    raise outage[0]
                return self._put_file(path, Location(root.storage, prefix + name), f"{folder.name}/{name}", how)
            except (LocalFileError, RequestRefused, GatewayUnreachable) as error:
                refused[str(path)] = error.message
                if isinstance(error, GatewayUnreachable):
                    outage.append(error)
                return None

        handles = tuple(handle for handle in _in_threads(send, upload.walk(folder, refused)) if handle)
        if outage and not handles:
            raise outage[0]
        return TransferGroup(handles, refused)

    def _put_file(self, path: Path, target: Location, name: str, how: upload.How) -> TransferHandle:
        if path.is_file() and path.stat().st_size > WORTH_ASKING:
            self._refuse_early(path, target, how)
        file = upload.inspect(path, how.hashed)
        headers = {
            "Content-Length": str(file.size),
            "Content-Type": "application/octet-stream",
            "Repr-Digest": file.repr_digest,
            "Idempotency-Key": str(uuid.uuid4()),
        }
        label = how.label or printable(name)[-LABEL_MAX:]
        params = {"overwrite": how.overwrite, "modified": file.modified.isoformat(), "label": label}
        body = upload.Body(file, how.sent)
        resource = file_path(target.storage, target.path)
        try:
            response = self._session.send(
                "PUT", resource, repeatable=True, params=params, content=body.chunks, headers=headers
            )
        except GatewayUnreachable as error:
            raise _not_sent(path, error, was_sent=body.was_sent) from None
        submitted = parse(Submitted, response)
        return TransferHandle(self._session, submitted.transfer, replayed=submitted.replayed)

    def _refuse_early(self, path: Path, target: Location, how: upload.How) -> None:
        """What would otherwise be said after the file has been hashed, or sent."""
        try:
            self._refuse_too_large(target, path.stat().st_size)
            if how.overwrite is Overwrite.FAIL:
                self._refuse_existing(target)
        except GatewayUnreachable as error:
            raise _not_sent(path, error, was_sent=False) from None

    def _refuse_too_large(self, target: Location, size: int) -> None:
        """The gateway says it too, but only after the file has been hashed here."""
        most = self.storage(target.storage).largest_upload
        if size > most:
            detail = f"A file of {size} bytes can never be sent: limits.staging_quota allows {most} bytes."
            advice = "Ask an admin to raise limits.staging_quota, or bring the file by another way."
            raise RequestInvalid(413, {"code": "too-large", "detail": detail, "next_step": advice})

    def _refuse_existing(self, target: Location) -> None:
        """Say at once what the transfer would say after all bytes have been sent. It decides; this only spares time."""
        try:
            self.stat(str(target))
        except RequestRefused:
            return
        detail, advice = f"{target} exists already.", "Choose another destination, or another overwrite policy."
        raise Conflict(409, {"code": "already-exists", "detail": detail, "next_step": advice})


def _not_sent(path: Path, error: GatewayUnreachable, *, was_sent: bool) -> GatewayUnreachable:
    if was_sent:
        text, advice = "was sent, but nobody confirmed it", "Look with 'scigate transfers' whether it has arrived."
    else:
        text, advice = "was NOT sent", "Send it again when the gateway answers; it begins anew."
    return GatewayUnreachable(f"{str(path)!r} {text}: {error.message}", next_step=f"{advice}\n{error.next_step}")


def _named(target: Location, name: str) -> Location:
    return Location(target.storage, target.path + name) if target.is_folder else target


def _one_segment(id: str) -> str:
    if not id.replace("-", "").replace("_", "").isalnum():
        raise InvalidLocation(f"{id!r} is not the id of a transfer.", next_step="'scigate transfers' shows the ids.")
    return id


def _below(root: Location, entry: Entry) -> str:
    """The entry's path below the root; never one that leads out of the folder it is written to."""
    path = location(entry.location).path
    prefix = root.path if root.is_folder else root.path + "/"
    below = path[len(prefix) :]
    if not path.startswith(prefix) or not below or below.startswith("/"):
        raise LocalFileError(f"{entry.location!r} has no name that this machine can hold.")
    return below


def _in_threads(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Results in order, a few at a time; memory is bounded by what is under way. An interrupt is not held up."""
    pool = ThreadPoolExecutor(AT_ONCE, "scigate-client")
    under_way: list[Any] = []
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) >= 2 * AT_ONCE:
                yield under_way.pop(0).result()
        for future in under_way:
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
