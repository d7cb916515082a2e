"""The endpoints that answer JSON: each translates one call into one use case of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from pydantic import Field, model_validator

from ..gateway import Gateway
from ..resources import (
    ArchiveKind,
    FileState,
    Label,
    Moment,
    MoveRequest,
    Overwrite,
    Page,
    PathText,
    Resource,
    Submitted,
    TransferRequest,
    TransferState,
    Verify,
)
from ..transfers.wishes import Wish
from .route import Answer, Begun, Call, Query

TRANSFER = "/api/v1/transfers/{id}"
FILE = "/api/v1/files/{storage}/{path}"
T = TypeVar("T")
R = TypeVar("R", bound=Resource)
Limit = Annotated[int, Field(ge=1, le=1000, description="longest page")]


class PageQuery(Query):
    """Where a page begins and how long it is."""

    after: PathText | None = Field(default=None, description="'next' of the page before")
    limit: Limit = 1000


class TransfersQuery(PageQuery):
    """Which transfers."""

    state: TransferState | None = None


class TransferFilesQuery(PageQuery):
    """Which files of a transfer."""

    state: FileState | None = None


class EventsQuery(Query):
    """Which events."""

    after: int = Field(default=0, ge=0, lt=1 << 63, description="the id of the last event seen")
    limit: Limit = 1000


class FileQuery(PageQuery):
    """What to say about a file or folder."""

    after: PathText | None = Field(
        default=None, description="'next' of the page before; of an archive: the last file that came whole"
    )
    meta: bool = Field(default=False, description="describe it instead of sending its bytes or its content")
    recursive: bool = Field(default=False, description="all files at any depth, instead of what is directly below")
    archive: ArchiveKind | None = Field(default=None, description="the folder with all below it as one archive")
    redirect: bool = Field(default=True, description="0: the bytes from here, never a redirect to the storage")

    @model_validator(mode="after")
    def _fits(self) -> FileQuery:
        if self.archive and (others := self.model_fields_set & {"meta", "recursive", "limit"}):
            raise ValueError(f"with 'archive' there can be no {', '.join(sorted(others))}")
        return self


class UploadQuery(Query):
    """How to store an upload."""

    overwrite: Overwrite = Overwrite.FAIL
    modified: Moment | None = Field(
        default=None, description="when the file was changed, which 'newer' compares; default: now"
    )
    label: Label = Field(default=None, description="for people, e.g. the name of the file")
    not_before: Moment | None = Field(default=None, description="deliver it then; default: at once")
    deadline: Moment | None = Field(default=None, description="delivery is tried until then")


class ManifestQuery(Query):
    """What else is wished for a transfer whose files come line by line; as in ``TransferRequest``."""

    overwrite: Overwrite = Overwrite.FAIL
    verify: Verify = Verify.AUTO
    priority: int = Field(default=5, ge=0, le=9, description="9 goes first")
    label: Label = None
    deadline: Moment | None = Field(
        default=None, description="retried until then; default 7 days from when it may begin"
    )
    not_before: Moment | None = Field(default=None, description="begin then; default: at once")


def list_storages(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.list_storages(call.actor))


def show_storage(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.show_storage(call.actor, call.path["name"]))


def list_folder(gateway: Gateway, call: Call) -> Answer:
    query = as_kind(FileQuery, call.query)
    page = gateway.list_folder(call.actor, **call.path, recursive=query.recursive, after=query.after, limit=query.limit)
    return page_answer(call, FILE, page)


def look_at(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.look_at(call.actor, **call.path))


def delete(gateway: Gateway, call: Call) -> Answer:
    gateway.delete(call.actor, **call.path)
    return Answer(None, 204)


def make_folder(gateway: Gateway, call: Call) -> Answer:
    location = call.url(FILE, **call.path)
    return Answer(gateway.make_folder(call.actor, **call.path), 201, {"Location": location})


def move(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.move(call.actor, as_kind(MoveRequest, call.body)))


def submit(gateway: Gateway, call: Call) -> Answer:
    return submitted(gateway.submit(call.actor, as_kind(TransferRequest, call.body), call.idempotency_key), call.url)


def begin_submit(gateway: Gateway, call: Call) -> Begun | None:
    begun = gateway.begin_submit(call.actor, as_kind(TransferRequest, call.body), call.idempotency_key)
    return None if begun is None else (begun, lambda accepted: submitted(gateway.end_submit(accepted), call.url))


def submitted(answer: Submitted, url: Callable[..., str]) -> Answer:
    """Accepted, not done: ``Location`` is where to look."""
    headers = {"Location": url(TRANSFER, id=answer.transfer.id)}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(answer, 202, headers)


def list_transfers(gateway: Gateway, call: Call) -> Answer:
    query = as_kind(TransfersQuery, call.query)
    page = gateway.list_transfers(call.actor, state=query.state, after=query.after, limit=query.limit)
    return page_answer(call, "/api/v1/transfers", page)


def is_short(query: Query) -> bool:
    """Whether it asks for a few transfers that need not be searched for."""
    return isinstance(query, TransfersQuery) and query.state is None and query.limit <= 50


def always(query: Query) -> bool:
    """Whatever is asked."""
    return True


def show_transfer(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.show_transfer(call.actor, call.path["id"]))


def list_files(gateway: Gateway, call: Call) -> Answer:
    query = as_kind(TransferFilesQuery, call.query)
    page = gateway.list_files(call.actor, call.path["id"], state=query.state, after=query.after, limit=query.limit)
    return page_answer(call, TRANSFER + "/files", page)


def list_events(gateway: Gateway, call: Call) -> Answer:
    query = as_kind(EventsQuery, call.query)
    page = gateway.list_events(call.actor, call.path["id"], after=query.after, limit=query.limit)
    return page_answer(call, TRANSFER + "/events", page)


def show_rates(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.show_rates(call.actor, call.path["id"]))


def asks(wish: Wish) -> Callable[[Gateway, Call], Answer]:
    """The endpoint that passes one wish of a transfer's owner on."""

    def ask(gateway: Gateway, call: Call) -> Answer:
        return Answer(gateway.ask(call.actor, call.path["id"], wish), 202)

    return ask


def show_status(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.status(call.actor))


def healthz(gateway: Gateway, call: Call) -> Answer:
    return Answer("ok\n", media_type="text/plain; charset=utf-8")


def readyz(gateway: Gateway, call: Call) -> Answer:
    gateway.check_ready()
    return Answer("ready\n", media_type="text/plain; charset=utf-8")


def metrics(gateway: Gateway, call: Call) -> Answer:
    return Answer(gateway.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def page_answer(call: Call, template: str, page: Page[R]) -> Answer:
    """A page with its ``Link`` to the next one (RFC 8288)."""
    if page.next is None:
        return Answer(page)
    given = call.query.model_dump(mode="json", exclude_unset=True)
    query = urlencode({**given, "after": page.next}, errors="surrogateescape")
    return Answer(page, headers={"Link": f'<{call.url(template, **call.path)}?{query}>; rel="next"'})


def as_kind(kind: type[T], value: object) -> T:
    """The route table promises this type."""
    assert isinstance(value, kind)
    return value
