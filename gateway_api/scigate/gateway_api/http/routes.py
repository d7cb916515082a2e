"""The one table of all routes. OpenAPI, the documentation page and the authorisation tests are made from it."""

from __future__ import annotations

from typing import Final

from ..policy import Rule
from ..resources import (
    Entry,
    Event,
    MoveRequest,
    Page,
    Rates,
    Status,
    Storage,
    Submitted,
    Transfer,
    TransferFile,
    TransferRequest,
)
from ..transfers.wishes import Wish
from . import endpoints as do
from .docs import with_documents
from .download import FileHandler
from .endpoints import FILE, TRANSFER
from .events.routes import EVENTS
from .events.webhooks import WEBHOOKS
from .manifest import ManifestHandler
from .route import Route
from .upload import UploadHandler
from .uploads.routes import ROUTES as UPLOADS

V1: Final = "/api/v1"
_KEY: Final = {"Idempotency-Key": "repeating a request with the same key does it once; a repeat says so"}
_DOWNLOAD: Final = {
    "Range": "one range of bytes (RFC 9110)",
    "If-Range": "the ETag of the version that the range must be of",
    "If-Match": "only this version, else 412",
    "If-None-Match": "only another version, else 304",
    "Want-Repr-Digest": "the digest to tell, computed if need be (RFC 9530), e.g. sha-256=10",
}
_UPLOAD: Final = {**_KEY, "Repr-Digest": "the digest of the file, which is checked (RFC 9530), e.g. sha-256=:…:"}

_ROUTES: Final = (
    Route("GET", f"{V1}/storages", Rule.USER, "The storages that you may use", do.list_storages,
          Page[Storage], storage=True),
    Route("GET", f"{V1}/storages/{{name}}", Rule.STORAGE_READ, "One storage", do.show_storage, Storage, storage=True),
    Route("GET", FILE, Rule.STORAGE_READ,
          "Download a file, or a folder as an archive; list a folder (trailing slash); describe either (meta)",
          FileHandler, Page[Entry],
          other_answers=(Entry, "application/octet-stream", "application/zip", "application/x-tar"), query=do.FileQuery,
          headers=_DOWNLOAD, storage=True),
    Route("PUT", FILE, Rule.STORAGE_WRITE, "Upload a file in one piece; it becomes a transfer to the storage",
          UploadHandler, Submitted, 202, query=do.UploadQuery, body="application/octet-stream",
          headers=_UPLOAD, storage=True),
    Route("DELETE", FILE, Rule.STORAGE_WRITE, "Delete a file or an empty folder (trailing slash)", do.delete,
          None, 204, storage=True),
    Route("POST", FILE, Rule.STORAGE_WRITE, "Make a folder (trailing slash) and those above it", do.make_folder,
          Entry, 201, storage=True),
    Route("POST", f"{V1}/moves", Rule.STORAGE_WRITE, "Rename a file within its storage", do.move,
          Entry, body=MoveRequest, storage=True),
    Route("POST", f"{V1}/transfers", Rule.USER, "Submit a transfer", do.submit, Submitted, 202,
          body=TransferRequest, headers=_KEY, begun=do.begin_submit),
    Route("POST", f"{V1}/transfers/bulk", Rule.USER,
          "Submit a transfer of very many files: a line of JSON with source and destination for each",
          ManifestHandler, Submitted, 202, query=do.ManifestQuery, body="application/x-ndjson", headers=_KEY,
          refusals=(413,)),
    Route("GET", f"{V1}/transfers", Rule.USER, "Your transfers, newest first", do.list_transfers, Page[Transfer],
          query=do.TransfersQuery, quick=do.is_short),
    Route("GET", TRANSFER, Rule.TRANSFER, "One transfer with its progress", do.show_transfer, Transfer,
          quick=do.always),
    Route("GET", f"{TRANSFER}/files", Rule.TRANSFER, "The files of a transfer", do.list_files, Page[TransferFile],
          query=do.TransferFilesQuery),
    Route("GET", f"{TRANSFER}/events", Rule.TRANSFER, "The journal of a transfer", do.list_events, Page[Event],
          query=do.EventsQuery),
    Route("GET", f"{TRANSFER}/rates", Rule.TRANSFER, "How fast its attempts went, to be plotted", do.show_rates, Rates),
    Route("POST", f"{TRANSFER}/pause", Rule.TRANSFER, "Pause a transfer", do.asks(Wish.PAUSE), Transfer, 202),
    Route("POST", f"{TRANSFER}/resume", Rule.TRANSFER, "Go on with a paused transfer", do.asks(Wish.RESUME),
          Transfer, 202),
    Route("POST", f"{TRANSFER}/cancel", Rule.TRANSFER, "Cancel a transfer; what is done stays", do.asks(Wish.CANCEL),
          Transfer, 202),
    Route("POST", f"{TRANSFER}/retry", Rule.TRANSFER, "Try the failed files of a transfer again", do.asks(Wish.RETRY),
          Transfer, 202),
    Route("GET", f"{V1}/status", Rule.USER, "How the gateway is", do.show_status, Status, storage=True),
    Route("GET", "/healthz", Rule.ANYONE, "Whether the gateway is alive", do.healthz, "text/plain", quick=do.always),
    Route("GET", "/readyz", Rule.ANYONE, "Whether requests are served and transfers move", do.readyz, "text/plain"),
    Route("GET", "/metrics", Rule.ADMIN, "Numbers for Prometheus", do.metrics, "text/plain"),
)  # fmt: skip

ROUTES: Final = with_documents((*_ROUTES, *EVENTS, *WEBHOOKS, *UPLOADS))
