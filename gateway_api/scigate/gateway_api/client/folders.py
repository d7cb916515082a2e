"""``put`` of a folder: a manifest of uploads for every ten thousand files, each manifest one transfer."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from scigate.storage_backends.location import Location

from ..resources import FileToSend, FolderToSend, FolderUpload, Transfer
from . import records
from .arguments import request as checked_request
from .errors import AccessRefused, FileChanged, GatewayError, GatewayUnreachable, LocalFileError, RequestRefused
from .handle import TransferGroup, TransferHandle
from .putting import SecondLeg, deliver, drop, go_on, is_of, label_of
from .records import Begun, Record
from .sending import GONE, Sending
from .session import Session, parse
from .threads import in_threads
from .upload import How, LocalFile, look, walk

MANIFEST: Final = 10_000  # files of one transfer, at most


def put_folder(session: Session, folder: Path, root: Location, how: How) -> TransferGroup:
    """Send all that is in a folder. Returns when the gateway has all of it, durably.

    What is wrong with one file does not keep the others from being sent: the group's ``refused`` says it. Raises
    ``GatewayUnreachable``, ``AccessRefused`` or ``RequestRefused`` when it is the gateway that ends it all.
    """
    prefix = root.path if root.is_folder else root.path + "/"
    place = str(Location(root.storage, prefix))
    with records.opened(session.access.url, folder, place, how.overwrite) as record:
        batches = _Folder(session, record, place, how, how.label or label_of(folder.resolve().name))
        found = walk(folder, batches.refused)
        while batch := list(islice(found, MANIFEST)):
            batches.send(batch)
        record.remove()
    return batches.group()


def put_each(session: Session, files: Sequence[tuple[Path, Location]], how: How) -> TransferGroup:
    """Send files, each to its own place at one storage. Otherwise as ``put_folder``."""
    names = [target.path.lstrip("/") for _, target in files]
    place = f"{files[0][1].storage}:/"
    wanted = hashlib.sha256(json.dumps(names).encode("ascii")).hexdigest()
    label = how.label or (label_of(files[0][0].name) if len(files) == 1 else f"{len(files)} files")
    with records.opened(session.access.url, files[0][0], f"{place} {wanted}", how.overwrite) as record:
        batches = _Folder(session, record, place, how, label)
        found = zip((path for path, _ in files), names, strict=True)
        while batch := list(islice(found, MANIFEST)):
            batches.send(batch)
        record.remove()
    return batches.group()


class _Folder:
    """One folder on its way, batch after batch."""

    def __init__(self, session: Session, record: Record, place: str, how: How, label: str | None) -> None:
        self._session, self._record, self._place, self._how, self._label = session, record, place, how, label
        self._files: dict[str, LocalFile] = {}
        self._second: dict[str, SecondLeg] = {}  # by transfer, in the order in which they were submitted
        self._outage: list[GatewayError] = []
        self._dropped: Counter[str] = Counter()
        self.refused: dict[str, str] = {}

    def send(self, found: Sequence[tuple[Path, str]]) -> None:
        """Send these files, going on where an earlier run ended."""
        self._files = {name: file for path, name in found if (file := self._look(path))}
        known = [begun for name in self._files if (begun := self._record.begun.get(name))]
        for transfer in dict.fromkeys(begun.transfer for begun in known):
            self._how.begun(transfer)
        self._all(self._go_on, [begun for begun in known if not self._is_settled(begun)])
        self._all(self._send_new, self._submit([name for name in self._files if self._is_fresh(name)]))

    def group(self) -> TransferGroup:
        """The transfers that the folder has become."""
        seen = [self._session.read(Transfer, f"transfers/{id}") for id in self._second]
        return TransferGroup(tuple(TransferHandle(self._session, one) for one in seen), self.refused, self._dropped)

    def _look(self, path: Path) -> LocalFile | None:
        try:
            return look(path)
        except LocalFileError as error:
            self.refused[str(path)] = error.message
            return None

    def _is_settled(self, begun: Begun) -> bool:
        """Whether nothing of an earlier run's upload has to be sent any more. If the file has changed since, what was
        sent is delivered as it was then, and the file as it is now is a new one."""
        file = self._files[begun.name]
        if begun.name not in self._record.sent:
            return False
        if not self._is_of(begun, file):
            self._record.forget(begun.name)
        else:
            self._leg(begun)
            self._how.resumed(file.size)
            self._how.sent(file.size)
        return True

    def _is_of(self, begun: Begun, file: LocalFile) -> bool:
        try:
            return is_of(self._session, begun, file)
        except RequestRefused as error:
            if error.status not in GONE:
                raise
            return False

    def _is_fresh(self, name: str) -> bool:
        return name not in self._record.begun and str(self._files[name].path) not in self.refused

    def _all(self, send: Callable[[Begun], None], begun: Iterable[Begun]) -> None:
        """Send all of these; raises what has ended it for all."""
        for _ in in_threads(send, begun):
            pass
        if self._outage:
            raise self._outage[0]

    def _submit(self, names: Sequence[str]) -> list[Begun]:
        if not names:
            return []
        files = [self._files[name] for name in names]
        request = checked_request(
            FolderToSend, destination=self._place, overwrite=self._how.overwrite, label=self._label,
            files=[
                FileToSend(path=name, size=file.size, modified=file.modified)
                for name, file in zip(names, files, strict=True)
            ],
        ).model_dump(mode="json", exclude={"not_before", "deadline"}) | self._how.times  # fmt: skip
        key = self._record.key(json.dumps(request))
        answer = self._session.send(
            "POST", "manifests", repeatable=True, body=request, headers={"Idempotency-Key": key}
        )
        made = parse(FolderUpload, answer)
        begun = [
            Begun(name, upload.id, made.transfer.id, file.seen, file.touched)
            for name, upload, file in zip(names, made.uploads, files, strict=True)
        ]
        self._record.add(begun)
        self._how.begun(made.transfer.id)
        return begun

    def _go_on(self, begun: Begun) -> None:
        self._guarded(begun, lambda: go_on(self._session, self._record, self._files[begun.name], begun, self._how))

    def _send_new(self, begun: Begun) -> None:
        self._guarded(begun, lambda: Sending(self._session, self._files[begun.name], begun.upload, self._how))

    def _guarded(self, begun: Begun, start: Callable[[], Sending | None]) -> None:
        if self._outage:  # one file has waited long enough for the gateway; the others need not
            return
        try:
            if sending := start():
                deliver(self._session, self._record, begun, sending, self._leg(begun))
        except GatewayError as error:
            self._failed(begun, error)

    def _failed(self, begun: Begun, error: GatewayError) -> None:
        status = error.status if isinstance(error, RequestRefused) else 0
        if isinstance(error, GatewayUnreachable | AccessRefused) or status >= 500:
            self._outage.append(error)
            return
        self.refused[str(self._files[begun.name].path)] = error.message
        self._dropped[begun.transfer] += 1
        if not isinstance(error, FileChanged):  # else it is dropped already
            drop(self._session, begun.upload)
            self._record.forget(begun.name)

    def _leg(self, begun: Begun) -> SecondLeg:
        leg = SecondLeg(self._session, begun.transfer, self._how.stored)
        return self._second.setdefault(begun.transfer, leg)
