"""The gateway as an object: what a notebook or a program does with it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

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
    Upload,
    Verify,
)
from . import archives, download, upload
from .access import find
from .arguments import choice, location, moment, pairs, transfer_request
from .errors import (
    FilesNotFetched,
    GatewayError,
    GatewayUnreachable,
    InvalidArgument,
    InvalidLocation,
    LocalFileError,
)
from .folders import put_each, put_folder
from .handle import TransferGroup, TransferHandle, pages
from .putting import put_file
from .sending import terminate, upload_path
from .session import Session, file_path, parse
from .threads import in_threads
from .webhooks import Webhooks

Moment: TypeAlias = datetime | timedelta | None
"""A time (without a zone: of this machine), or so long from now; None: nothing is said of it."""


class Gateway:
    """A connection to a gateway, as one user. May be used by many threads; close it or use it in ``with``.

    ``url`` and ``token`` are found in the environment and in files when they are not given; see ``access.find``.
    ``patience`` is how long a gateway that does not answer is asked again before ``GatewayUnreachable`` is raised;
    ``timeout`` how long one answer may take (a small file ends with the gateway checking and storing what it got).
    ``upload_patience`` is how long an upload that has begun is tried again without a byte of progress.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        patience: timedelta = timedelta(seconds=5),
        timeout: timedelta = timedelta(minutes=10),
        upload_patience: timedelta = timedelta(minutes=5),
    ) -> None:
        self._session = Session(find(url, token), patience, timeout, upload_patience)

    @property
    def url(self) -> str:
        return self._session.access.url

    @property
    def webhooks(self) -> Webhooks:
        """The user's webhooks: iterate over them, ``add``, ``test``, ``replay`` and ``remove`` them."""
        return Webhooks(self._session)

    # Moving data -----------------------------------------------------------------------------------------------

    def put(
        self,
        local: str | os.PathLike[str],
        destination: str,
        *,
        overwrite: Overwrite | str = Overwrite.FAIL,
        label: str | None = None,
        sent: upload.Count = upload.ignored,
        stored: upload.Count | None = None,
        resumed: upload.Count = upload.ignored,
        broken: upload.Broken = upload.unheard,
        not_before: Moment = None,
        deadline: Moment = None,
    ) -> TransferHandle | TransferGroup:
        """Send a local file, or a folder with all below it, to a storage.

        Returns when the gateway has all bytes, durably and checked, and has promised to deliver them; ``wait`` on the
        result waits for the delivery. What breaks off goes on where it stopped: by itself for ``upload_patience``, and
        when the same is put again, also by another process. A file that changes meanwhile is never delivered:
        ``FileChanged``.

        A destination ending in ``/`` keeps the file's name; what is in a folder goes below the destination, its tree
        kept, as one transfer for every ten thousand files. ``label`` is the name of the file or folder if nothing else
        is given. Called with the bytes since their last call: ``sent`` (negative when some have to go again),
        ``stored`` (what has reached the storage meanwhile), and ``resumed`` with what was there from an earlier run,
        which ``sent`` hears of as well. ``broken`` is called with the error whenever a try fails and another follows.

        The bytes are sent now; delivered ``not_before`` a time or so long from now, and tried until ``deadline``.
        """
        path, target = Path(local), location(destination)
        how = upload.How(
            choice(Overwrite, overwrite, "overwrite"), label, sent, stored, resumed, broken,
            not_before=moment(not_before), deadline=moment(deadline),
        )  # fmt: skip
        try:
            if path.is_dir():
                return put_folder(self._session, path, target, how)
            return put_file(self._session, path, _named(target, path.name), how)
        except GatewayUnreachable as error:
            raise _not_sent(path, error) from None

    def put_each(
        self,
        files: Iterable[tuple[str | os.PathLike[str], str]],
        *,
        overwrite: Overwrite | str = Overwrite.FAIL,
        label: str | None = None,
        begun: Callable[[str], None] = upload.unnoticed,
        sent: upload.Count = upload.ignored,
        resumed: upload.Count = upload.ignored,
        broken: upload.Broken = upload.unheard,
        not_before: Moment = None,
        deadline: Moment = None,
    ) -> TransferGroup:
        """Send local files, each to its own destination, all of them at one storage, as one transfer (for every ten
        thousand files). Otherwise as ``put`` of a folder: the group's ``refused`` says what was not sent.

        ``begun`` is called with the id of each transfer as soon as the gateway has it, before the bytes are sent.
        """
        given = [(path, _named(location(target), path.name)) for path, target in ((Path(a), b) for a, b in files)]
        targets = {str(target) for _, target in given}
        if len({target.storage for _, target in given}) != 1 or len(targets) != len(given):
            raise InvalidArgument(
                "The files do not have each a destination of its own, all at one storage.",
                next_step="Send the files of each storage for themselves.",
            )
        how = upload.How(
            choice(Overwrite, overwrite, "overwrite"), label, sent, resumed=resumed, broken=broken, begun=begun,
            not_before=moment(not_before), deadline=moment(deadline),
        )  # fmt: skip
        return put_each(self._session, given, how)

    def uploads(self) -> Iterator[Upload]:
        """This user's uploads, newest first, each with its two legs; also those that have ended lately."""
        return pages(self._session, Upload, "uploads")

    def upload(self, id: str) -> Upload:
        """An upload by its id."""
        return self._session.read(Upload, upload_path(id))

    def cancel_upload(self, id: str) -> None:
        """End an upload: what has arrived is removed, and nothing of it is delivered."""
        terminate(self._session, id)

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
        not_before: Moment = None,
        deadline: Moment = None,
    ) -> TransferHandle:
        """Submit many (source, destination) pairs as one transfer.

        It begins ``not_before`` a time, or so long from now, and is tried until ``deadline``. Asked again on connection
        errors with the same Idempotency-Key, so it is accepted once or not at all.
        """
        request = transfer_request(
            files=pairs(files),
            overwrite=overwrite, verify=verify, priority=priority, label=label, not_before=moment(not_before),
            deadline=moment(deadline),
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
        exactly: bool = False,
        received: download.Received = lambda count: None,
    ) -> download.Download:
        """Fetch a file to this machine: a folder or a path ending in ``/`` keeps its name, unless it is to be
        ``exactly`` this path.

        It arrives under another name, is checked by size, and by digest if its storage keeps one, made durable and then
        renamed. Broken off, it goes on where it stopped, also in another process. ``received`` is called with the bytes
        since the last call.
        """
        found = location(source)
        if found.is_folder:
            raise InvalidLocation(f"{source!r} is a folder.", next_step="Fetch it with get_folder(), or name a file.")
        target = Path(local)
        if not exactly and (str(local).endswith("/") or target.is_dir()):
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
        root, placed = location(source), set[tuple[int, int]]()

        def fetch(entry: Entry) -> download.Download | tuple[Entry, GatewayError]:
            try:
                target = Path(local, _below(root, entry))
                _refuse_twin(target, placed)
                got = self.get(entry.location, target, overwrite=overwrite, exactly=True, received=received)
                placed.add(_file_at(got.path))
                return got
            except GatewayError as error:
                return entry, error

        yield from in_threads(fetch, self.ls(source, recursive=True))

    def get_archive(
        self,
        folder: str,
        local: str | os.PathLike[str],
        *,
        kind: str | None = None,
        overwrite: bool = False,
        received: download.Received = lambda count: None,
    ) -> archives.Archive:
        """Fetch a folder with all below it as one ``tar`` or ``zip`` file; the kind is that of its name unless said.

        Every file in it is compared with the digest of what left the storage. Broken off, it begins anew: on a bad
        network ``get_folder`` is better.
        """
        found, target = location(folder), Path(local)
        path = found.path if found.is_folder else found.path + "/"
        resource, chosen = file_path(found.storage, path), archives.kind_of(target, kind)
        return archives.fetch(self._session, resource, target, chosen, overwrite=overwrite, received=received)

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


def _not_sent(path: Path, error: GatewayUnreachable) -> GatewayUnreachable:
    return GatewayUnreachable(
        f"{str(path)!r} was NOT sent whole: {error.message}",
        next_step=f"Send it again when the gateway answers: what has arrived is kept.\n{error.next_step}",
    )


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


def _refuse_twin(target: Path, placed: set[tuple[int, int]]) -> None:
    """Of two files whose names are one on this machine (by case, Unicode form, or an empty part) none is lost."""
    if placed and os.path.lexists(target) and _file_at(target) in placed:
        raise LocalFileError(
            f"{str(target)!r} is another file of the same folder already: here both names are one.",
            next_step="Fetch it by itself, under another name.",
        )


def _file_at(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
