"""S3: bytes and what comes often over our own signed requests, multipart uploads by boto3.

Keys are kept byte for byte. A folder is there while a key below it is; an empty object whose key ends in ``/`` (what
consoles make for "create folder") is listed as that folder when listing one level, and not at all when listing files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Final

from .backend import Buffer, CopiedAndRead, Digests, Entry, Extras, Kind, Limits, MiB
from .crash_points import reached
from .digests import digest, require_digests
from .errors import (
    AlreadyExists,
    DigestMismatch,
    InvalidName,
    NotFound,
    NotRegular,
    Permanent,
    SourceChanged,
    StorageError,
    Throttled,
    Truncated,
    Unreachable,
    Unsupported,
)
from .location import check_path
from .registry import BackendType, Connect
from .s3_clock import ServerClock
from .s3_control import CONTROL_READ_TIMEOUT, LINK_MAX, ControlPlane
from .s3_copy import CopyJob, about_copy
from .s3_data import IDENTITY, DataPlane, Object, exists, in_base64, md5_of, vouched
from .s3_draft import (
    BLOCKS_MAX,
    MARK_NUMBER,
    Destination,
    Ref,
    S3Draft,
    find_mark,
    is_mark_of,
    mark_of,
    may_be_mark_of,
)
from .s3_errors import refused_before_it_began
from .s3_names import Names, listed
from .s3_options import PART_MAX, PART_MIN, S3Options
from .s3_probe import Features
from .s3_xml import Found
from .wire import Headers, Pool, tls_context

ENCRYPTED: Final = "x-amz-server-side-encryption"  # with a key of its own, the ETag is no MD5
READ_MAX: Final = 8 * MiB  # what is copied and read, nobody can stop meanwhile
CLOCK_SKEW: Final = timedelta(minutes=15)  # what S3 itself tolerates in a signature


class S3Backend:
    """See ``scigate.storage_backends.backend.Backend`` for what the methods promise."""

    def __init__(self, options: S3Options, connect: Connect) -> None:
        self._prefix = options.prefix
        tls = tls_context(options.ca_file) if options.base.scheme == "https" else None
        self._clock = ServerClock()
        patient = Pool(connect, tls, stall=timedelta(seconds=CONTROL_READ_TIMEOUT))
        self._data = DataPlane(options, Pool(connect, tls), self._clock, patient=patient)
        self._control = ControlPlane(options, self._clock)
        self._names = Names(self._data, options.prefix)
        is_aws = options.endpoint is None
        self._features = Features(self._data, self._control, options.prefix, complete=is_aws)
        self.limits = Limits(
            block_min=PART_MIN,
            block_preferred=options.part_size,
            block_max=PART_MAX,
            blocks_max=BLOCKS_MAX,
            largest=BLOCKS_MAX * PART_MAX,  # 48.8 TiB: "Amazon S3 multipart upload limits"
            put_max=8 * MiB,
            concurrency=options.concurrency,
            equal_blocks=True,
            atomic_no_replace=is_aws,
        )
        self.extras = Extras(
            copy=self._copy, copy_and_read=self._copy_and_read, digest=self._digest, presign=self._presign,
            mkdir=self._mkdir,
        )  # fmt: skip

    def stat(self, path: str) -> Entry:
        if path == "" or path.endswith("/"):
            return self._folder(path)
        return self._data.head(self._key(path), path).entry(path)

    def scan(self, prefix: str = "", *, after: str | None = None, recursive: bool = True) -> Iterator[Entry]:
        if prefix and not prefix.endswith("/"):
            raise InvalidName(f"the folder {prefix!r} is written with a trailing '/'", path=prefix)
        start = self._key(after) if after else ""
        return self._listed(self._key(prefix), start, "" if recursive else "/")

    def read(
        self, path: str, offset: int = 0, length: int | None = None, *, version: str | None = None
    ) -> Iterator[Buffer]:
        key = self._file_key(path, NotRegular)
        if length == 0:
            return self._read_nothing(path, key, offset, version)
        return self._data.get(key, path, offset, length, version)

    def put(
        self, path: str, data: Buffer, *, if_absent: bool = False, digests: Digests | None = None, key: str = ""
    ) -> Entry:
        name = self._file_key(path)
        crc = digest("crc64nvme", [data])
        require_digests([data], digests or {}, path)
        md5 = md5_of(data)  # checked by servers that do not know the other
        headers = {"x-amz-checksum-crc64nvme": in_base64(crc), "x-amz-sdk-checksum-algorithm": "CRC64NVME"}
        headers["content-md5"] = in_base64(md5)
        headers |= {f"x-amz-meta-{IDENTITY}": key} if key else {}
        headers |= {"if-none-match": "*"} if if_absent and self._refuse_overwrite(name, path) else {}
        try:
            answer = self._data.put(name, path, data, headers)
            reached("s3.put:stored")
        except AlreadyExists:
            found = exists(self._data, name, path) if key else None
            if found is None or found.identity != key:
                raise
            return found.entry(path)  # it was us: the answer to the first sending of this request got lost
        entry = _stored(path, memoryview(data).nbytes, crc, key, answer)
        # A server that only repeats what we claim is given away by its ETag. Then nothing is vouched for.
        return entry if entry.version == md5 or ENCRYPTED in answer else replace(entry, digests={})

    def draft(self, path: str, size: int, *, key: str, ref: str | None = None, deferred: bool = False) -> S3Draft:
        name = self._file_key(path)
        if ref is not None:
            return S3Draft(self._destination(name, path, size), Ref.parse(ref), key, is_new=False)
        with refused_before_it_began(sent_once=True):
            upload, checked = self._control.create_upload(name, path, key)
        try:
            return S3Draft(self._destination(name, path, size), Ref(upload, key, checked), key, is_new=True)
        except Throttled as error:  # before anybody could note which upload it is: to find that out costs more
            error.untouched = self._is_aborted(name, path, upload)
            raise

    def _is_aborted(self, name: str, path: str, upload: str) -> bool:
        try:
            self._control.abort(name, path, upload)
        except StorageError:
            return False
        return True

    def _destination(self, name: str, path: str, size: int) -> Destination:
        def put_empty(identity: str, if_absent: bool) -> Entry:
            return self.put(path, b"", if_absent=if_absent, key=identity)

        marked = self._features.leftovers
        return Destination(
            self._data, self._control, name, path, size, marked, self._features.lenient, put_empty,
            self._refuse_overwrite,
        )  # fmt: skip

    def abandon(self, path: str, *, key: str, ref: str | None, since: datetime) -> None:
        """With ``ref``: abort that upload, unless another attempt has taken it over.

        Without: the process died before it could record the upload it had begun, so of the open uploads of exactly
        this key, begun no earlier (by the server's clock, give or take ``CLOCK_SKEW``), ours is the one with our mark,
        or, if it died between beginning and marking, one without a single part. Nobody loses data by the latter: an
        upload without parts holds none. On a server that takes no marks nothing tells ours from others': all stay.
        """
        name = self._file_key(path)
        if ref is not None:
            upload = Ref.parse(ref).upload
            if self._owner_may_be(key, name, path, upload):
                self._control.abort(name, path, upload)
            return
        found = list(self._control.uploads(name, path)) if self._features.leftovers else []
        earliest = self._clock.at_server(since) - CLOCK_SKEW
        for upload, begun in found:
            if begun >= earliest and self._is_orphan_of(key, name, path, upload):
                self._control.abort(name, path, upload)

    def delete(self, path: str) -> None:
        if path == "" or path.endswith("/"):
            self._delete_folder(path)
            return
        name = self._key(path)
        self._data.head(name, path)  # S3 does not say whether there was something
        self._data.delete(name, path)

    def probe(self) -> None:
        """Find out whether the storage refuses to overwrite when asked to; ``limits.atomic_no_replace`` then says so.

        Writes a small object under a hidden name and removes it. Otherwise done when first needed.
        """
        if self._features.conditional != self.limits.atomic_no_replace:
            self.limits = replace(self.limits, atomic_no_replace=self._features.conditional)

    # --- names ---------------------------------------------------------------------------------------------------

    def _key(self, path: str) -> str:
        return self._names.key(check_path(path))

    def _file_key(self, path: str, error: type[Permanent] = InvalidName) -> str:
        if path == "" or path.endswith("/"):
            raise error(f"{path!r} names a folder, not a file", path=path)
        return self._key(path)

    def _path(self, key: str) -> str:
        return key[len(self._prefix) :]

    # --- folders and listings ------------------------------------------------------------------------------------

    def _below(self, path: str, most: int) -> list[Found]:
        """Asked with a delimiter, as a listing is: SeaweedFS shows a folder that has lost its last file only so."""
        return self._data.page(self._key(path), after="", token=None, delimiter="/", most=most).found

    def _folder(self, path: str) -> Entry:
        if not self._below(path, 1) and path:
            raise NotFound("there is no such folder", path=path)
        return Entry(path, Kind.FOLDER)

    def _mkdir(self, path: str) -> None:
        if path == "" or not path.endswith("/"):
            raise InvalidName(f"the folder {path!r} is written with a trailing '/'", path=path)
        for end in (at for at, character in enumerate(path) if character == "/"):
            if exists(self._data, self._key(path[:end]), path) is not None:
                raise AlreadyExists(f"{path[:end]!r} is a file", path=path)
        if exists(self._data, self._key(path), path) is None:  # it may hold bytes, though none that we have put there
            self._data.put(self._key(path), path, b"", {})

    def _delete_folder(self, path: str) -> None:
        found = self._below(path, 2)
        if not found:
            raise NotFound("there is no such folder", path=path)
        if not path or [(item.key, item.size) for item in found] != [(self._key(path), 0)]:
            raise Permanent("the folder is not empty", path=path, next_step="Delete what is in it first.")
        self._data.delete(self._key(path), path)

    def _listed(self, prefix: str, after: str, delimiter: str) -> Iterator[Entry]:
        token: str | None = None
        for number in count():
            page = self._data.page(prefix, after=after, token=token, delimiter=delimiter)
            if number == 0 and not (page.found or token or after or prefix == self._prefix):
                raise NotFound("there is no such folder", path=self._path(prefix))
            for item in page.found:
                if not item.key.startswith(prefix):
                    raise Unreachable("the storage listed what was not asked for")
                if item.key != after and (entry := listed(item, self._path(item.key))) is not None:
                    yield entry
            token = page.next
            if token is None:
                return

    # --- the rest ------------------------------------------------------------------------------------------------

    def _read_nothing(self, path: str, key: str, offset: int, version: str | None) -> Iterator[Buffer]:
        """HTTP has no range of zero bytes, so only what would go wrong is found out."""
        found = self._data.head(key, path)
        _require_version(found, version, path)
        if offset > found.size:
            raise Truncated(f"it has {found.size} bytes, not {offset}", path=path)
        yield from ()

    def _refuse_overwrite(self, key: str, path: str) -> bool:
        """Whether the storage can refuse to overwrite; if it cannot, look now: the best that can be done."""
        self.probe()
        if not self._features.conditional and exists(self._data, key, path) is not None:
            raise AlreadyExists("something is here already", path=path)
        return self._features.conditional

    def _owner_may_be(self, key: str, name: str, path: str, upload: str) -> bool:
        if not self._features.leftovers:
            return True
        try:
            mark = find_mark(self._control, name, path, upload)
        except NotFound:
            return False
        return mark is None or may_be_mark_of(key, mark)

    def _is_orphan_of(self, key: str, name: str, path: str, upload: str) -> bool:
        try:
            mark = find_mark(self._control, name, path, upload)
            return is_mark_of(key, mark) if mark else not any(self._control.parts(name, path, upload))
        except NotFound:
            return False

    def _copy(
        self,
        source: str,
        destination: str,
        *,
        version: str | None,
        if_absent: bool,
        key: str,
        progress: Callable[[int], None],
    ) -> Entry:
        here, there = self._file_key(source), self._file_key(destination)
        found = self._data.head(here, source)
        _require_version(found, version, source)
        self._make_copy(found, there, destination, if_absent=if_absent, identity=key, progress=progress)
        return _confirmed_copy(found, self._data.head(there, destination), destination)

    def _copy_and_read(
        self, source: str, destination: str, *, version: str | None, if_absent: bool, key: str
    ) -> CopiedAndRead:
        here, there = self._file_key(source), self._file_key(destination)
        found, before = self._data.whole(here, source, version, READ_MAX)
        if found.size > READ_MAX:
            raise SourceChanged("it is larger than it was", path=source)
        self._make_copy(found, there, destination, if_absent=if_absent, identity=key, progress=lambda length: None)
        made, after = self._data.whole(there, destination, None, found.size)
        return CopiedAndRead(_confirmed_copy(found, made, destination), before, after)

    def _make_copy(
        self, found: Object, key: str, path: str, *, if_absent: bool, identity: str, progress: Callable[[int], None]
    ) -> None:
        """It is there when this returns, if the storage is right, and ours."""
        conditional = if_absent and self._refuse_copy_over(key, path)
        mark = partial(self._mark_copy, identity, key, path)
        about = about_copy(found, identity)
        job = CopyJob(self._data, self._control, found, key, path, about, conditional, mark)
        try:
            job.run(progress)
        except (AlreadyExists, NotFound) as error:
            self._require_ours(job, identity, error)

    def _refuse_copy_over(self, key: str, path: str) -> bool:
        """Whether the storage is asked to refuse to copy over something. If it may not hear, look now."""
        conditional = self._refuse_overwrite(key, path)
        if not (conditional and self._features.conditional_copy) and exists(self._data, key, path) is not None:
            raise AlreadyExists("something is here already", path=path)
        return conditional

    def _mark_copy(self, attempt: str, key: str, path: str, upload: str) -> None:
        """Write into the upload of a copy whose it is, where the storage does not mind a part that is not used."""
        if self._features.leftovers:
            mark = mark_of(attempt, 0)
            self._data.upload_part(key, path, upload, MARK_NUMBER, body=mark, length=len(mark))

    def _require_ours(self, job: CopyJob, key: str, error: AlreadyExists | NotFound) -> None:
        """Which of the conditions failed: on the source or on the destination? If what is there is this copy, none:
        the answer to the first sending of the request got lost, and its upload is gone since."""
        told = job.if_none_match or isinstance(error, NotFound)
        there = exists(self._data, job.key, job.path) if told else None
        if there is not None and there.identity == key:
            return
        if there is None and isinstance(error, AlreadyExists):
            raise SourceChanged("it was written to since the copy began", path=job.path) from error
        raise error

    def _digest(self, path: str, algorithm: str) -> str:
        digests = self._data.head(self._file_key(path), path).entry(path).digests
        if algorithm not in digests:
            raise Unsupported(f"the storage has no {algorithm} of this object", path=path)
        return digests[algorithm]

    def _presign(self, path: str, lifetime: timedelta) -> str:
        if not timedelta(0) < lifetime <= LINK_MAX:
            raise Unsupported(f"a link of S3 lasts at most {LINK_MAX.days} days", path=path)
        return self._control.link(self._file_key(path), path, lifetime)


def _require_version(found: Object, version: str | None, path: str) -> None:
    if version is not None and version != found.etag:
        raise SourceChanged("it was written to since this version was seen", path=path)


def _confirmed_copy(source: Object, made: Object, path: str) -> Entry:
    entry = made.entry(path)
    if entry.size != source.size:
        raise Truncated(f"the copy has {entry.size} bytes, not {source.size}", path=path)
    expected = vouched(source.headers)
    if any(expected.get(name, value) != value for name, value in entry.digests.items()):
        raise DigestMismatch("the copy has other bytes than its source", path=path)
    return entry


def _stored(path: str, size: int, crc: str, key: str, answer: Headers) -> Entry:
    digests = vouched(answer)
    if digests.get("crc64nvme", crc) != crc:
        raise DigestMismatch("the storage has stored other bytes than were sent", path=path)
    etag = answer.get("etag", "").strip('"')
    return Entry(path, size=size, version=etag or None, digests=digests, identity=key or None)


def _open(options: S3Options, connect: Connect) -> S3Backend:
    return S3Backend(options, connect)


TYPE = BackendType("s3", "S3 object storage: AWS, Ceph, MinIO, SeaweedFS and others", S3Options, _open)
