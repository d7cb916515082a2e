"""Every use case of the gateway, one short method each. No HTTP, no SQL: it checks, asks, and answers resources."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, partial
from typing import Final

from scigate.storage_backends.backend import Entry as StoredEntry
from scigate.storage_backends.errors import (
    AlreadyExists,
    DigestMismatch,
    NotRegular,
    Permanent,
    SourceChanged,
    Unsupported,
)
from scigate.storage_backends.location import check_path
from scigate.storage_backends.location import parse as parse_location
from scigate.storage_backends.web_url import parse_web_url

from . import entries
from .actor import Actor
from .auth.page_tickets import PageTickets, check_renewable
from .downloads.downloads import Downloads
from .events.following import Events
from .events.webhooks import Webhooks
from .listings import Listings
from .metrics import Metrics
from .policy import check_storage, check_writable, may_use, owner_seen
from .presence import Presence
from .problems import Problem, conflict
from .resources import (
    Entry,
    Event,
    FileRequest,
    FileState,
    MoveRequest,
    Page,
    Rates,
    Status,
    Storage,
    Submitted,
    Ticket,
    Transfer,
    TransferFile,
    TransferRequest,
    TransferState,
)
from .settings import LimitsSection
from .status import Health
from .storage_views import StorageViews
from .storages import OpenStorage, Storages
from .transfers import submission
from .transfers.egress import Egress
from .transfers.manifest import Lines
from .transfers.manifests import Incoming
from .transfers.store import Accepted, TransferStore
from .transfers.submission import Submission
from .transfers.wishes import Wish
from .uploads.sessions import Uploads

SERVERS_MAX: Final = 100  # web servers that the files of one request come from
FEW: Final = 8  # files of a request that are checked where nobody may be kept waiting


class Gateway:
    """What people can do. Every method may block and may be called from many threads; refusals are ``Problem`` or
    ``StorageError``."""

    storage_views: StorageViews
    presence: Presence
    uploads: Uploads
    events: Events
    webhooks: Webhooks
    page_tickets: PageTickets

    def __init__(
        self,
        storages: Storages,
        store: TransferStore,
        *,
        limits: LimitsSection,
        egress: Egress,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._storages, self._store, self._egress = storages, store, egress
        self._health, self.metrics = health, metrics
        self._listings, self._limits = Listings(), limits
        self.downloads = Downloads(storages, limits)

    # --- storages ------------------------------------------------------------------------------------------------

    def list_storages(self, actor: Actor) -> Page[Storage]:
        """The storages that ``actor`` may use."""
        names = self._seen(actor)
        return Page(items=self.storage_views.of(actor, names, names))

    def show_storage(self, actor: Actor, name: str) -> Storage:
        """One of them."""
        check_storage(actor, name, self._storages.section(name), write=False)
        return self.storage_views.of(actor, [name], self._seen(actor))[0]

    # --- files ---------------------------------------------------------------------------------------------------

    def list_folder(
        self, actor: Actor, storage: str, path: str, *, recursive: bool, after: str | None, limit: int
    ) -> Page[Entry]:
        """A page of what is in a folder; ``after`` is the path of the last entry seen."""
        opened = self._readable(actor, storage)
        after = None if after is None else check_path(after)
        return self._listings.page(opened, check_path(path), after, recursive=recursive, limit=self._page(limit))

    def look_at(self, actor: Actor, storage: str, path: str) -> Entry:
        """What is at a path."""
        opened = self._readable(actor, storage)
        return entries.view(opened, opened.backend.stat(check_path(path)))

    def delete(self, actor: Actor, storage: str, path: str) -> None:
        """Remove a file or an empty folder."""
        opened = self._writable(actor, storage)
        if path == "":
            raise conflict("root", "The root of a storage cannot be deleted.", "Name a file or folder below it.")
        opened.backend.delete(check_path(path))

    def make_folder(self, actor: Actor, storage: str, path: str) -> Entry:
        """Create a folder and those above it; there already is fine."""
        opened = self._writable(actor, storage)
        if not path.endswith("/"):
            raise NotRegular("a folder is written with a trailing '/'", path=path)
        make = opened.backend.extras.mkdir
        if make is None:
            raise Unsupported(
                f"the storage {storage!r} has no empty folders", next_step="Put a file there: its folder comes with it."
            )
        try:
            make(check_path(path))
        except AlreadyExists as error:
            raise AlreadyExists(error.message, path=error.path, next_step="Choose another name.") from None
        return entries.view(opened, opened.backend.stat(path))

    def move(self, actor: Actor, request: MoveRequest) -> Entry:
        """Rename a file within its storage."""
        source, destination = parse_location(request.source), parse_location(request.destination)
        opened = self._writable(actor, source.storage)
        if destination.storage != source.storage:
            raise Problem(422, "across-storages", "A file moves within its storage only.",
                          next_step="Submit a transfer, and delete the source when it is DONE.")  # fmt: skip
        if source.is_folder or destination.is_folder:
            raise NotRegular("only files move; name a file on both sides", path=source.path)
        if source == destination:
            raise conflict("same-file", "Source and destination are the same.", "Choose another destination.")
        try:
            return entries.view(opened, _moved(opened, source.path, destination.path, not request.overwrite))
        except AlreadyExists as error:
            advice = "Choose another name, or say that it is to be replaced (overwrite)."
            raise AlreadyExists(error.message, path=error.path, next_step=advice) from None

    # --- transfers -----------------------------------------------------------------------------------------------

    def submit(self, actor: Actor, request: TransferRequest, key: str | None) -> Submitted:
        """Accept a transfer; from the answer on it is never lost."""
        fingerprint = submission.fingerprint(request)
        try:
            accepted = self._read(actor, request)
        except Problem:  # perhaps only now: its deadline has passed since it was accepted, and the answer was lost
            if (before := self._store.accepted(actor.id, key, fingerprint)) is None:
                raise
            return Submitted(transfer=self._store.get(before, None), replayed=True)
        return self._store.submit(actor.id, accepted, key=key, fingerprint=fingerprint)

    def begin_submit(self, actor: Actor, request: TransferRequest, key: str | None) -> Future[Accepted] | None:
        """The same without waiting for anybody, here or for the commit; ``end_submit`` makes the answer of what comes.

        None: it is refused, or to find out takes longer, so ``submit`` has to be called.
        """
        if len(request.files) > FEW or not all(map(self._is_at_hand, request.files)):
            return None
        try:
            accepted = self._read(actor, request)
        except Problem:
            return None
        return self._store.begin_submit(actor.id, accepted, key=key, fingerprint=submission.fingerprint(request))

    def end_submit(self, accepted: Accepted) -> Submitted:
        """See ``begin_submit``."""
        return self._store.shown(accepted)

    def begin_manifest(self, actor: Actor) -> Incoming:
        """Take a transfer of very many files line by line, each checked when it comes."""
        check = partial(
            submission.pair,
            may_read=cache(partial(_refusing, self._readable, actor)),
            may_write=cache(partial(_refusing, self._writable, actor)),
            check_url=partial(_check_url, self._egress, set()),
        )
        return self._store.begin_manifest(actor.id, Lines(check))

    def submit_manifest(self, actor: Actor, lines: Incoming, wishes: TransferRequest, key: str | None) -> Submitted:
        """Accept it; from the answer on it is never lost, though its files are listed only afterwards."""
        listed, fingerprint = lines.end(), lines.fingerprint(wishes)
        try:
            accepted = submission.of_manifest(wishes, listed, self._limits.retry_for)
        except Problem:  # as in ``submit``
            if (before := self._store.accepted(actor.id, key, fingerprint)) is None:
                raise
            lines.discard()
            return Submitted(transfer=self._store.get(before, None), replayed=True)
        answer = self._store.submit(actor.id, accepted, key=key, fingerprint=fingerprint)
        if answer.replayed:
            lines.discard()
        return answer

    def list_transfers(
        self, actor: Actor, *, state: TransferState | None, after: str | None, limit: int
    ) -> Page[Transfer]:
        """The actor's transfers, newest first; an admin sees everybody's."""
        return self._store.list(owner_seen(actor), state=state, after=after, limit=self._page(limit))

    def show_transfer(self, actor: Actor, id: str) -> Transfer:
        """One of them."""
        return self._store.get(id, owner_seen(actor))

    def list_files(
        self, actor: Actor, id: str, *, state: FileState | None, after: str | None, limit: int
    ) -> Page[TransferFile]:
        """The files of a transfer."""
        return self._store.files(id, owner_seen(actor), state=state, after=after, limit=self._page(limit))

    def list_events(self, actor: Actor, id: str, *, after: int, limit: int) -> Page[Event]:
        """The journal of a transfer."""
        return self._store.events(id, owner_seen(actor), after=after, limit=self._page(limit))

    def show_rates(self, actor: Actor, id: str) -> Rates:
        """How fast the attempts at its large files went, and go."""
        return self._store.rates(id, owner_seen(actor))

    def ask(self, actor: Actor, id: str, wish: Wish) -> Transfer:
        """Pause, resume, cancel or retry."""
        return self._store.ask(id, owner_seen(actor), wish)

    # --- events --------------------------------------------------------------------------------------------------

    def socket_ticket(self, actor: Actor) -> Ticket:
        """A ticket with which a browser opens one WebSocket. That of a user of the settings works once; who is known
        elsewhere cannot be looked up by name later, so theirs says all by itself."""
        check_renewable(actor)
        return self.events.ticket(actor) if actor.proof == "token" else self.page_tickets.for_socket(actor)

    # --- the gateway itself --------------------------------------------------------------------------------------

    def status(self, actor: Actor) -> Status:
        """How the gateway is, as far as ``actor`` may know."""
        return self._health.status(self._seen(actor), details=actor.is_admin)

    def reads_alone(self) -> bool:
        """Whether this thread may look at transfers without waiting for anybody, from now on."""
        return self._store.reads_alone()

    def check_ready(self) -> None:
        """Raise a ``Problem`` unless requests can be served."""
        self._health.check_ready()

    # --- shared --------------------------------------------------------------------------------------------------

    def _read(self, actor: Actor, request: TransferRequest) -> Submission:
        """The request, checked. Raises ``Problem``."""
        return submission.read(
            request,
            may_read=lambda name: _refusing(self._readable, actor, name),
            may_write=lambda name: _refusing(self._writable, actor, name),
            check_url=partial(_check_url, self._egress, set()),
            keeps_trying=self._limits.retry_for,
        )

    def _is_at_hand(self, wanted: FileRequest) -> bool:
        """Whether its storages are open, so that it is checked without opening one or asking for the name of a host."""
        names = (wanted.source.partition(":")[0], wanted.destination.partition(":")[0])
        return all(map(self._storages.is_open, names))

    def _page(self, limit: int) -> int:
        return min(limit, self._limits.page_max)

    def _seen(self, actor: Actor) -> list[str]:
        """The names of the storages that ``actor`` may use."""
        sections = ((name, self._storages.section(name)) for name in self._storages.names())
        return [name for name, section in sections if section is not None and may_use(actor, section)]

    def _readable(self, actor: Actor, name: str) -> OpenStorage:
        check_storage(actor, name, self._storages.section(name), write=False)
        return self._storages.get(name)

    def _writable(self, actor: Actor, name: str) -> OpenStorage:
        check_storage(actor, name, self._storages.section(name), write=True)
        opened = self._storages.get(name)
        check_writable(name, read_only=opened.limits.read_only)
        return opened


def _refusing(check: Callable[..., object], *arguments: object) -> None:
    """Call ``check``; a refusal becomes an error of one pair of the request, not of the request."""
    try:
        check(*arguments)
    except Problem as problem:
        raise Permanent(problem.detail or problem.title, next_step=problem.next_step) from None


def _check_url(egress: Egress, seen: set[tuple[str, str, int]], url: str) -> None:
    """Each server is resolved and judged once for a request, however many of its files are in it; whoever names very
    many would hold a thread for as long as their names take to be resolved."""
    target = parse_web_url(url)
    origin = (target.scheme, target.host, target.port)
    if origin in seen:
        return
    if len(seen) >= SERVERS_MAX:
        raise Permanent(f"its files are on more than {SERVERS_MAX} web servers", next_step="Submit several transfers.")
    seen.add(origin)
    egress.check(url)


def _moved(storage: OpenStorage, source: str, destination: str, if_absent: bool) -> StoredEntry:
    """Rename where the storage can; else copy inside it, compare, and only then delete the source."""
    backend = storage.backend
    if backend.extras.move is not None:
        return backend.extras.move(source, destination, if_absent)
    if backend.extras.copy is None:
        raise Unsupported(f"the storage {storage.name!r} cannot move files", next_step="Submit a transfer instead.")
    before = backend.stat(source)
    after = backend.extras.copy(
        source, destination, version=before.version, if_absent=if_absent, key=secrets.token_hex(16), progress=_ignored
    )
    known = before.digests.keys() & after.digests.keys()
    if after.size != before.size or any(before.digests[name] != after.digests[name] for name in known):
        raise DigestMismatch("the copy differs from the source; the source was kept", path=destination)
    if backend.stat(source).version != before.version:
        raise SourceChanged("the source was written to while it was copied; both files were kept", path=source)
    backend.delete(source)
    return after


def _ignored(count: int) -> None:
    """Nobody watches the progress of a move."""
