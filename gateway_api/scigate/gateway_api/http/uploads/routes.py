"""The routes of uploads."""

from __future__ import annotations

from typing import Final

from ...gateway import Gateway
from ...policy import Rule
from ...resources import FolderToSend, FolderUpload, Page, Upload, UploadState
from ...uploads import ietf, tus
from ..endpoints import TRANSFER, PageQuery, as_kind, page_answer
from ..route import Answer, Call, Route
from .handler import UPLOAD, UPLOADS, AppendHandler, CreationHandler, CreationQuery, DiscoveryHandler, UploadHandler

MANIFESTS: Final = "/api/v1/manifests"
_TUS: Final = {"Tus-Resumable": "1.0.0 for tus; without it the request is of the IETF draft"}
_METHOD: Final = {"X-HTTP-Method-Override": "on a POST: PATCH or DELETE, for who can only POST"}
_KEY: Final = {"Idempotency-Key": "repeating a request with the same key does it once; a repeat says so"}
_CREATE: Final = {
    **_TUS,
    **_KEY,
    "Upload-Length": "bytes of the whole",
    "Upload-Defer-Length": "tus: 1 when the length is not known yet",
    "Upload-Metadata": "tus: destination, filename, overwrite, label, modified, digest, relativePath; base64 values",
    "Upload-Concat": "tus: 'partial', or 'final;' and the URLs of the parts",
    "Upload-Checksum": "tus: algorithm and base64 digest of this body",
    "Upload-Complete": "IETF: ?1 when this body is all there is, else ?0",
    "Upload-Draft-Interop-Version": "IETF: 8, for interim answers (104)",
    "Content-Disposition": "IETF: name of the file, for a destination that is a folder",
    "Repr-Digest": "IETF: digest of the whole, which is checked (RFC 9530)",
    "Content-Digest": "IETF: digest of this body, which is checked (RFC 9530)",
}
_APPEND: Final = {
    **_TUS,
    **_METHOD,
    "Upload-Offset": "where this body belongs; 409 if the upload does not end there",
    "Upload-Length": "bytes of the whole, once it is known",
    "Upload-Checksum": "tus: algorithm and base64 digest of this body",
    "Upload-Complete": "IETF: ?1 when the upload is complete with this body, else ?0",
    "Content-Digest": "IETF: digest of this body, which is checked (RFC 9530)",
    "Repr-Digest": "digest of the whole, which is checked when the upload is complete with this body (RFC 9530)",
}


class UploadsQuery(PageQuery):
    """Which uploads."""

    state: UploadState | None = None


def list_uploads(gateway: Gateway, call: Call) -> Answer:
    query = as_kind(UploadsQuery, call.query)
    page = gateway.uploads.list(call.actor, state=query.state, after=query.after, limit=query.limit)
    return page_answer(call, UPLOADS, page)


def send_folder(gateway: Gateway, call: Call) -> Answer:
    answer = gateway.uploads.create_folder(call.actor, as_kind(FolderToSend, call.body), call.idempotency_key)
    headers = {"Location": call.url(TRANSFER, id=answer.transfer.id)}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(answer, 201, headers)


ROUTES: Final = (
    Route("POST", UPLOADS, Rule.USER, "Begin an upload (tus 1.0, or the IETF draft)", CreationHandler, Upload, 201,
          query=CreationQuery, body=tus.MEDIA_TYPE, other_bodies=("application/octet-stream",), headers=_CREATE,
          refusals=(400, 404, 409, 412, 413, 415, 422, 431, 460, 503), storage=True),
    Route("GET", UPLOADS, Rule.USER, "Your uploads, newest first", list_uploads, Page[Upload], query=UploadsQuery),
    Route("OPTIONS", UPLOADS, Rule.USER, "What uploads can do here", DiscoveryHandler, None, 204),
    Route("HEAD", UPLOAD, Rule.UPLOAD, "How much of an upload is here", UploadHandler, None, 200,
          other_statuses=(204,), headers=_TUS, refusals=(410, 412), storage=True),
    Route("GET", UPLOAD, Rule.UPLOAD, "One upload with both its legs", UploadHandler, Upload, storage=True),
    Route("PATCH", UPLOAD, Rule.UPLOAD, "Append to an upload", AppendHandler, None, 204, other_answers=(Upload,),
          other_statuses=(200,), body=tus.MEDIA_TYPE, other_bodies=(ietf.MEDIA_TYPE,), headers=_APPEND,
          refusals=(400, 403, 409, 410, 412, 413, 415, 422, 460, 503), storage=True, overridable=True),
    Route("DELETE", UPLOAD, Rule.UPLOAD, "End an upload, and cancel what it was for", UploadHandler, None, 204,
          headers={**_TUS, **_METHOD}, refusals=(412,), storage=True, overridable=True),
    Route("OPTIONS", UPLOAD, Rule.USER, "What uploads can do here", DiscoveryHandler, None, 204),
    Route("POST", MANIFESTS, Rule.USER, "Begin the uploads of a folder's files, all in one transfer", send_folder,
          FolderUpload, 201, body=FolderToSend, headers=_KEY, refusals=(409, 413, 422), storage=True),
)  # fmt: skip
