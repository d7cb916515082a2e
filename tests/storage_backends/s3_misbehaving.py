"""What a client of S3 must not do, and the code with which AWS refuses it: one function each."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from awscrt import checksums
from scigate.storage_backends.backend import GiB, MiB

from .s3_asking import Client, Reply, chunked, encoded, key_for, mac, unsigned_chunks

Misdeed = Callable[[Client], Reply]
PART: Final = 5 * MiB


@dataclass(frozen=True)
class Rule:
    """A misdeed, and how AWS answers it."""

    about: str
    says: str
    status: int
    code: str
    do: Misdeed

    def __str__(self) -> str:
        return self.do.__name__.replace("_", "-")

    def kept(self, reply: Reply) -> bool:
        return (reply.status, reply.code) == (self.status, self.code)


RULES: Final[list[Rule]] = []


def rule(about: str, status: int, code: str) -> Callable[[Misdeed], Misdeed]:
    """The docstring of a misdeed says what is wrong about it."""

    def add(do: Misdeed) -> Misdeed:
        RULES.append(Rule(about, (do.__doc__ or "").strip().rstrip("."), status, code, do))
        return do

    return add


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def crc64(data: bytes) -> str:
    return b64(checksums.crc64nvme(data).to_bytes(8))


def crc32(data: bytes) -> str:
    return b64(checksums.crc32(data).to_bytes(4))


WHOLE: Final = {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "FULL_OBJECT"}
COMPOSITE: Final = {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "COMPOSITE"}

# --- who asks --------------------------------------------------------------------------------------------------------

SIGNING: Final = "Signatures"


@rule(SIGNING, 403, "AccessDenied")
def no_signature(client: Client) -> Reply:
    """A request without a signature."""
    return client.put("x", after={"authorization": None})


@rule(SIGNING, 403, "InvalidAccessKeyId")
def unknown_key(client: Client) -> Reply:
    """An access key that does not exist."""
    return client.put("x", key_id="AKNOBODY")


@rule(SIGNING, 403, "SignatureDoesNotMatch")
def wrong_secret(client: Client) -> Reply:
    """The wrong secret key."""
    return client.put("x", secret="wrong")


@rule(SIGNING, 403, "SignatureDoesNotMatch")
def changed_header(client: Client) -> Reply:
    """A signed header that was changed on the way."""
    return client.put("x", headers={"x-amz-meta-a": "1"}, after={"x-amz-meta-a": "2"})


@rule(SIGNING, 403, "SignatureDoesNotMatch")
def changed_query(client: Client) -> Reply:
    """A query that was changed on the way."""
    headers = client.signed("GET", client.path(None), encoded({"list-type": "2", "prefix": "a"}), {})
    return client.send("GET", client.path(None) + "?" + encoded({"list-type": "2", "prefix": "b"}), headers)


@rule(SIGNING, 400, "AuthorizationHeaderMalformed")
def wrong_region(client: Client) -> Reply:
    """A signature for another region."""
    return client.put("x", region="eu-south-9")


@rule(SIGNING, 400, "AuthorizationHeaderMalformed")
def malformed_authorization(client: Client) -> Reply:
    """An Authorization header without its signature."""
    return client.put("x", after={"authorization": "AWS4-HMAC-SHA256 Credential=a/b/c"})


@rule(SIGNING, 400, "InvalidRequest")
def signature_of_version_2(client: Client) -> Reply:
    """A signature of version 2."""
    return client.put("x", after={"authorization": f"AWS {client.server.access_key}:bm90aGluZw=="})


@rule(SIGNING, 403, "RequestTimeTooSkewed")
def clock_behind(client: Client) -> Reply:
    """A clock that is 16 minutes slow."""
    return client.put("x", ahead=timedelta(minutes=-16))


@rule(SIGNING, 403, "RequestTimeTooSkewed")
def clock_ahead(client: Client) -> Reply:
    """A clock that is 16 minutes fast."""
    return client.put("x", ahead=timedelta(minutes=16))


@rule(SIGNING, 403, "AccessDenied")
def header_not_signed(client: Client) -> Reply:
    """An x-amz- header that is not signed."""
    return client.put("x", after={"x-amz-meta-smuggled": "1"})


@rule(SIGNING, 400, "InvalidRequest")
def payload_not_named(client: Client) -> Reply:
    """No x-amz-content-sha256."""
    return client.put("x", payload=None)


@rule(SIGNING, 400, "InvalidArgument")
def payload_is_no_digest(client: Client) -> Reply:
    """An x-amz-content-sha256 that is no digest."""
    return client.put("x", payload="nonsense")


@rule(SIGNING, 400, "XAmzContentSHA256Mismatch")
def payload_changed(client: Client) -> Reply:
    """A body with another SHA-256 than was signed."""
    return client.put("x", payload=hashlib.sha256(b"other").hexdigest())


def link(client: Client, name: str, lifetime: int, begun: timedelta) -> Reply:
    date = f"{datetime.now(UTC) - begun:%Y%m%dT%H%M%SZ}"
    scope = f"{date[:8]}/{client.server.region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{client.server.access_key}/{scope}",
        "X-Amz-Date": date, "X-Amz-Expires": str(lifetime), "X-Amz-SignedHeaders": "host",
    }  # fmt: skip
    asked = encoded(query)
    canonical = f"GET\n{client.path(name)}\n{asked}\nhost:{client.host}\n\nhost\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = mac(key_for(client.server.secret_key, scope), to_sign).hex()
    return client.send("GET", f"{client.path(name)}?{asked}&X-Amz-Signature={signature}", {"host": client.host})


@rule(SIGNING, 403, "AccessDenied")
def link_expired(client: Client) -> Reply:
    """A link that has expired."""
    client.put("linked")
    return link(client, "linked", 60, timedelta(minutes=5))


@rule(SIGNING, 400, "AuthorizationQueryParametersError")
def link_too_long(client: Client) -> Reply:
    """A link for more than seven days."""
    client.put("linked")
    return link(client, "linked", 604_801, timedelta(0))


# --- what arrives ----------------------------------------------------------------------------------------------------

INTEGRITY: Final = "Integrity"


@rule(INTEGRITY, 400, "BadDigest")
def wrong_md5(client: Client) -> Reply:
    """A Content-MD5 of other bytes."""
    return client.put("x", headers={"content-md5": b64(hashlib.md5(b"other").digest())})


@rule(INTEGRITY, 400, "InvalidDigest")
def malformed_md5(client: Client) -> Reply:
    """A Content-MD5 that is none."""
    return client.put("x", headers={"content-md5": "bm9uZQ=="})


def _wrong_checksum(algorithm: str, value: bytes) -> None:
    def do(client: Client) -> Reply:
        return client.put("x", headers={f"x-amz-checksum-{algorithm}": b64(value)})

    do.__name__, do.__doc__ = f"wrong_{algorithm}", f"An x-amz-checksum-{algorithm} of other bytes."
    rule(INTEGRITY, 400, "BadDigest")(do)


for _algorithm, _size in {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}.items():
    _wrong_checksum(_algorithm, b"\x01" * _size)


@rule(INTEGRITY, 400, "InvalidRequest")
def malformed_checksum(client: Client) -> Reply:
    """A checksum that is none."""
    return client.put("x", headers={"x-amz-checksum-sha256": "bm9uZQ=="})


@rule(INTEGRITY, 400, "InvalidRequest")
def two_checksums(client: Client) -> Reply:
    """Two checksums at once."""
    return client.put("x", headers={"x-amz-checksum-crc32": crc32(b"data"), "x-amz-checksum-crc64nvme": crc64(b"data")})


@rule(INTEGRITY, 400, "InvalidRequest")
def checksum_announced_only(client: Client) -> Reply:
    """A checksum that is announced and does not come."""
    return client.put("x", headers={"x-amz-sdk-checksum-algorithm": "CRC32"})


@rule(INTEGRITY, 400, "BadDigest")
def wrong_checksum_of_part(client: Client) -> Reply:
    """A part with the checksum of other bytes."""
    upload = client.begin("x", WHOLE)
    return client.part("x", upload, 1, headers={"x-amz-checksum-crc64nvme": crc64(b"other")})


@rule(INTEGRITY, 400, "BadDigest")
def wrong_md5_of_part(client: Client) -> Reply:
    """A part with the Content-MD5 of other bytes."""
    md5 = b64(hashlib.md5(b"other").digest())
    return client.part("x", client.begin("x"), 1, headers={"content-md5": md5})


def streamed(client: Client, body: bytes, size: int, trailer: str = "x-amz-checksum-crc64nvme") -> Reply:
    about = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(size), "x-amz-trailer": trailer}
    return client.put("streamed", body, about, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")


@rule(INTEGRITY, 400, "BadDigest")
def wrong_trailer(client: Client) -> Reply:
    """A checksum of other bytes behind the body."""
    return streamed(client, unsigned_chunks([b"data"], {"x-amz-checksum-crc64nvme": crc64(b"other")}), 4)


@rule(INTEGRITY, 400, "MalformedTrailerError")
def missing_trailer(client: Client) -> Reply:
    """A checksum that was to come behind the body and does not."""
    return streamed(client, unsigned_chunks([b"data"], {}), 4)


@rule(INTEGRITY, 400, "IncompleteBody")
def wrong_decoded_length(client: Client) -> Reply:
    """Chunks that hold fewer bytes than the head says."""
    return streamed(client, unsigned_chunks([b"data"], {"x-amz-checksum-crc64nvme": crc64(b"data")}), 5)


@rule(INTEGRITY, 403, "InvalidChunkSizeError")
def short_chunk(client: Client) -> Reply:
    """A chunk below 8 KiB before the last."""
    return streamed(client, unsigned_chunks([b"da", b"ta"], {"x-amz-checksum-crc64nvme": crc64(b"data")}), 4)


@rule(INTEGRITY, 403, "SignatureDoesNotMatch")
def forged_chunk(client: Client) -> Reply:
    """A chunk whose signature is forged."""
    return signed_stream(client, spoil=0)


def signed_stream(client: Client, spoil: int | None = None) -> Reply:
    """Two signed chunks and a signed trailer."""
    pieces = [b"a" * 65_536, b"b" * 1000]
    whole = b"".join(pieces)
    about = {
        "content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(whole)),
        "x-amz-trailer": "x-amz-checksum-crc32",
    }  # fmt: skip
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    headers = client.signed("PUT", client.path("signed"), "", about, payload=payload)
    body = chunked(client, pieces, {"x-amz-checksum-crc32": crc32(whole)}, spoil=spoil)
    return client.send("PUT", client.path("signed"), {**headers, "content-length": str(len(body))}, body)


# --- conditions ------------------------------------------------------------------------------------------------------

CONDITIONS: Final = "Conditions"


@rule(CONDITIONS, 412, "PreconditionFailed")
def put_over(client: Client) -> Reply:
    """PUT with If-None-Match: * where something is."""
    client.put("there")
    return client.put("there", b"other", {"if-none-match": "*"})


@rule(CONDITIONS, 412, "PreconditionFailed")
def complete_over(client: Client) -> Reply:
    """Completing an upload with If-None-Match: * where something is."""
    client.put("there")
    upload = client.begin("there")
    return client.complete("there", upload, client.stored("there", upload, {1: 4}), {"if-none-match": "*"})


@rule(CONDITIONS, 412, "PreconditionFailed")
def copy_over(client: Client) -> Reply:
    """A copy with If-None-Match: * where something is."""
    client.put("there")
    client.put("from", b"other")
    return copied(client, "from", "there", {"if-none-match": "*"})


@rule(CONDITIONS, 501, "NotImplemented")
def none_match_of_one(client: Client) -> Reply:
    """PUT with If-None-Match and an ETag."""
    return client.put("x", headers={"if-none-match": '"0123"'})


@rule(CONDITIONS, 412, "PreconditionFailed")
def put_over_another(client: Client) -> Reply:
    """PUT with If-Match where something else is."""
    client.put("there")
    return client.put("there", b"other", {"if-match": '"0123"'})


@rule(CONDITIONS, 404, "NoSuchKey")
def put_over_nothing(client: Client) -> Reply:
    """PUT with If-Match where nothing is."""
    return client.put("nothing", headers={"if-match": '"0123"'})


@rule(CONDITIONS, 412, "PreconditionFailed")
def get_another(client: Client) -> Reply:
    """GET with If-Match where something else is."""
    client.put("there")
    return client.ask("GET", "there", headers={"if-match": '"0123"'})


@rule(CONDITIONS, 412, "PreconditionFailed")
def copy_another(client: Client) -> Reply:
    """A copy on condition that its source is as it was, which it is not."""
    client.put("from")
    return copied(client, "from", "to", {"x-amz-copy-source-if-match": '"0123"'})


# --- uploads ---------------------------------------------------------------------------------------------------------

UPLOADS: Final = "Multipart uploads"


@rule(UPLOADS, 400, "InvalidArgument")
def part_0(client: Client) -> Reply:
    """A part with the number 0."""
    return client.part("x", client.begin("x"), 0)


@rule(UPLOADS, 400, "InvalidArgument")
def part_10001(client: Client) -> Reply:
    """A part with the number 10,001."""
    return client.part("x", client.begin("x"), 10_001)


@rule(UPLOADS, 400, "EntityTooSmall")
def small_part(client: Client) -> Reply:
    """A part below 5 MiB that is not the last."""
    upload = client.begin("x")
    return client.complete("x", upload, client.stored("x", upload, {1: 100_000, 2: 10}))


@rule(UPLOADS, 400, "InvalidPartOrder")
def parts_out_of_order(client: Client) -> Reply:
    """Parts that are named in descending order."""
    upload = client.begin("x")
    return client.complete("x", upload, client.stored("x", upload, {1: PART, 2: 10})[::-1])


@rule(UPLOADS, 400, "InvalidPartOrder")
def part_twice(client: Client) -> Reply:
    """A part that is named twice."""
    upload = client.begin("x")
    return client.complete("x", upload, client.stored("x", upload, {1: PART}) * 2)


@rule(UPLOADS, 400, "InvalidPart")
def part_of_another_etag(client: Client) -> Reply:
    """A part with another ETag than it got."""
    upload = client.begin("x")
    client.stored("x", upload, {1: 10})
    return client.complete("x", upload, [(1, '"0123456789abcdef0123456789abcdef"')])


@rule(UPLOADS, 400, "InvalidPart")
def part_never_sent(client: Client) -> Reply:
    """A part that was never sent."""
    upload = client.begin("x")
    return client.complete("x", upload, [*client.stored("x", upload, {1: PART}), (2, '"0123"')])


@rule(UPLOADS, 400, "MalformedXML")
def no_parts(client: Client) -> Reply:
    """An upload that is completed without any part."""
    return client.complete("x", client.begin("x"), [])


@rule(UPLOADS, 400, "MalformedXML")
def no_xml(client: Client) -> Reply:
    """A request to complete that is no XML."""
    return client.ask("POST", "x", {"uploadId": client.begin("x")}, b"these parts, please")


def _ended(client: Client) -> tuple[str, list[tuple[int, str]]]:
    upload = client.begin("x")
    parts = client.stored("x", upload, {1: 10})
    client.ask("DELETE", "x", {"uploadId": upload})
    return upload, parts


@rule(UPLOADS, 404, "NoSuchUpload")
def complete_after_abort(client: Client) -> Reply:
    """Completing an upload that was aborted."""
    return client.complete("x", *_ended(client))


@rule(UPLOADS, 404, "NoSuchUpload")
def part_after_abort(client: Client) -> Reply:
    """A part of an upload that was aborted."""
    return client.part("x", _ended(client)[0], 2)


@rule(UPLOADS, 404, "NoSuchUpload")
def list_after_abort(client: Client) -> Reply:
    """The parts of an upload that was aborted."""
    return client.ask("GET", "x", {"uploadId": _ended(client)[0]})


@rule(UPLOADS, 404, "NoSuchUpload")
def part_after_completing(client: Client) -> Reply:
    """A part of an upload that was completed."""
    upload = client.begin("x")
    client.complete("x", upload, client.stored("x", upload, {1: 10}))
    return client.part("x", upload, 2)


@rule(UPLOADS, 404, "NoSuchUpload")
def upload_of_another_key(client: Client) -> Reply:
    """A part of the upload of another key."""
    return client.part("y", client.begin("x"), 1)


@rule(UPLOADS, 400, "BadDigest")
def wrong_whole_checksum(client: Client) -> Reply:
    """Completing with the checksum of another object."""
    upload = client.begin("x", WHOLE)
    about = {"x-amz-checksum-crc64nvme": crc64(b"other"), "x-amz-checksum-type": "FULL_OBJECT"}
    return client.complete("x", upload, client.stored("x", upload, {1: 10}), about)


@rule(UPLOADS, 400, "BadDigest")
def other_kind_of_checksum(client: Client) -> Reply:
    """Completing with a checksum of another type than was begun with."""
    upload = client.begin("x", COMPOSITE)
    part = client.part("x", upload, 1, headers={"x-amz-checksum-crc32": crc32(b"part")})
    named, sums = [(1, part.headers["etag"])], {1: f"<ChecksumCRC32>{crc32(b'part')}</ChecksumCRC32>"}
    about = {"x-amz-checksum-crc32": crc32(b"part"), "x-amz-checksum-type": "FULL_OBJECT"}
    return client.complete("x", upload, named, about, sums)


@rule(UPLOADS, 400, "InvalidRequest")
def part_without_checksum(client: Client) -> Reply:
    """A part without a checksum in an upload with a composite one."""
    return client.part("x", client.begin("x", COMPOSITE), 1)


@rule(UPLOADS, 400, "InvalidRequest")
def part_with_another_checksum(client: Client) -> Reply:
    """A part with a checksum of another algorithm than its upload."""
    return client.part("x", client.begin("x", WHOLE), 1, headers={"x-amz-checksum-crc32": crc32(b"part")})


@rule(UPLOADS, 400, "InvalidRequest")
def completed_without_checksums(client: Client) -> Reply:
    """Completing an upload with a composite checksum without those of the parts."""
    upload = client.begin("x", COMPOSITE)
    part = client.part("x", upload, 1, headers={"x-amz-checksum-crc32": crc32(b"part")})
    return client.complete("x", upload, [(1, part.headers["etag"])])


@rule(UPLOADS, 400, "InvalidRequest")
def wrong_object_size(client: Client) -> Reply:
    """Completing with another x-amz-mp-object-size than the parts have."""
    upload = client.begin("x")
    return client.complete("x", upload, client.stored("x", upload, {1: 10}), {"x-amz-mp-object-size": "11"})


@rule(UPLOADS, 400, "InvalidRequest")
def composite_crc64nvme(client: Client) -> Reply:
    """Beginning an upload with a composite CRC64NVME."""
    return client.ask("POST", "x", {"uploads": ""}, headers={**WHOLE, "x-amz-checksum-type": "COMPOSITE"})


@rule(UPLOADS, 400, "InvalidRequest")
def unknown_checksum(client: Client) -> Reply:
    """Beginning an upload with an algorithm that does not exist."""
    return client.ask("POST", "x", {"uploads": ""}, headers={"x-amz-checksum-algorithm": "CRC7"})


# --- sizes, names, ranges, copies ------------------------------------------------------------------------------------

LIMITS: Final = "Limits"


@rule(LIMITS, 400, "KeyTooLongError")
def long_key(client: Client) -> Reply:
    """A key of more than 1,024 bytes."""
    return client.put("/".join(["k" * 200] * 6))


@rule(LIMITS, 400, "MetadataTooLarge")
def much_metadata(client: Client) -> Reply:
    """More than 2 KiB of metadata."""
    return client.put("x", headers={"x-amz-meta-a": "m" * 2100})


@rule(LIMITS, 411, "MissingContentLength")
def no_length(client: Client) -> Reply:
    """PUT without Content-Length."""
    return client.put("x", b"", length=False)


@rule(LIMITS, 501, "NotImplemented")
def chunked_by_http(client: Client) -> Reply:
    """PUT in chunks of HTTP instead of a length."""
    return client.put("x", b"4\r\ndata\r\n0\r\n\r\n", length=False, after={"transfer-encoding": "chunked"})


@rule(LIMITS, 400, "EntityTooLarge")
def large_put(client: Client) -> Reply:
    """PUT of more than 5 GiB."""
    return client.put("x", b"x" * 1000, after={"content-length": str(5 * GiB + 1), "expect": "100-continue"})


@rule(LIMITS, 400, "InvalidArgument")
def negative_page(client: Client) -> Reply:
    """A listing with max-keys=-1."""
    return client.ask("GET", None, {"list-type": "2", "max-keys": "-1"})


@rule(LIMITS, 400, "InvalidArgument")
def wordy_page(client: Client) -> Reply:
    """A listing with max-keys=many."""
    return client.ask("GET", None, {"list-type": "2", "max-keys": "many"})


@rule(LIMITS, 416, "InvalidRange")
def range_behind_the_end(client: Client) -> Reply:
    """A range that begins behind the end."""
    client.put("there")
    return client.ask("GET", "there", headers={"range": "bytes=4-"})


@rule(LIMITS, 416, "InvalidRange")
def range_of_nothing(client: Client) -> Reply:
    """A range of an object without bytes."""
    client.put("empty", b"")
    return client.ask("GET", "empty", headers={"range": "bytes=0-0"})


def copied(client: Client, source: str, name: str, about: Mapping[str, str] | None = None) -> Reply:
    where = f"/{client.server.bucket}/{quote(client.prefix + source)}"
    return client.ask("PUT", name, headers={"x-amz-copy-source": where, **(about or {})})


@rule(LIMITS, 404, "NoSuchKey")
def copy_of_nothing(client: Client) -> Reply:
    """A copy of what is not there."""
    return copied(client, "nothing", "to")


@rule(LIMITS, 400, "InvalidRequest")
def copy_onto_itself(client: Client) -> Reply:
    """A copy onto itself that changes nothing."""
    client.put("there")
    return copied(client, "there", "there")


@rule(LIMITS, 400, "InvalidArgument")
def copy_beyond_the_end(client: Client) -> Reply:
    """A part that is copied from beyond the end."""
    client.put("there")
    about = {
        "x-amz-copy-source": f"/{client.server.bucket}/{client.prefix}there",
        "x-amz-copy-source-range": "bytes=0-4",
    }
    return client.part("x", client.begin("x"), 1, b"", headers=about)


@rule(LIMITS, 400, "InvalidRequest")
def many_deleted_unchecked(client: Client) -> Reply:
    """Deleting many at once without a checksum of the list."""
    body = f"<Delete><Object><Key>{client.prefix}x</Key></Object></Delete>".encode()
    return client.ask("POST", None, {"delete": ""}, body)
