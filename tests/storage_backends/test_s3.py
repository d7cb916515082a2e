"""S3 against real servers: what the conformance suite does not ask for."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from scigate.storage_backends.backend import GiB, Kind, MiB, TiB
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.errors import (
    AlreadyExists,
    CredentialRefused,
    DigestMismatch,
    InvalidName,
    Misconfigured,
    NotFound,
    SourceChanged,
    Truncated,
    Unreachable,
    Unsupported,
)
from scigate.storage_backends.registry import connect_directly
from scigate.storage_backends.s3 import TYPE, S3Backend, S3Options
from scigate.storage_backends.testing import servers
from scigate.storage_backends.testing.certificates import Authority
from scigate.storage_backends.testing.servers import S3Server

Open = Callable[..., S3Backend]

ODD_KEYS = [
    "a b",
    "a+b",
    "100%",
    "%41",
    "a&b=c?d#e",
    "ü",
    "e\u0301",
    "\U0001f9ec",
    "<x>&lt;",
    "'\"`",
    "~!*'();:@$,[]{}|^",
]


def content(backend: S3Backend, path: str, *range_: Any, **about: Any) -> bytes:
    return b"".join(bytes(buffer) for buffer in backend.read(path, *range_, **about))


# --- options -------------------------------------------------------------------------------------------------------

GIVEN: dict[str, Any] = {"bucket": "data", "access_key": "AK", "secret_key": Secret("verysecretvalue")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucket": "a"},
        {"bucket": "a/b"},
        {"bucket": ""},
        {"prefix": "/a"},
        {"prefix": "a/../b"},
        {"endpoint": "s3.example"},
        {"endpoint": "https://user:pw@s3.example"},
        {"endpoint": "https://s3.example/path"},
        {"endpoint": "https://s3.example:99999"},
        {"region": "eu west"},
        {"part_size": 4 * MiB},
        {"part_size": 6 * GiB},
        {"concurrency": 0},
        {"addressing": "both"},
        {"endpoint": "https://s3.example", "addressing": "virtual", "bucket": "with.dot"},
        {"unknown": 1},
        {"secret_key": "in the settings"},
    ],
)
def test_wrong_options_are_refused_without_showing_the_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        S3Options(**(GIVEN | wrong))
    assert "verysecretvalue" not in str(error.value)


def test_options_show_no_secret() -> None:
    options = S3Options(**GIVEN, session_token=Secret("verysecrettoken"))
    assert "verysecret" not in repr(options) + str(options) + options.model_dump_json()


@pytest.mark.parametrize(
    ("about", "base"),
    [
        ({}, "https://data.s3.us-east-1.amazonaws.com/"),
        ({"region": "eu-central-1"}, "https://data.s3.eu-central-1.amazonaws.com/"),
        ({"bucket": "with.dot"}, "https://s3.us-east-1.amazonaws.com/with.dot/"),
        ({"addressing": "path"}, "https://s3.us-east-1.amazonaws.com/data/"),
        ({"endpoint": "http://h:9000"}, "http://h:9000/data/"),
        ({"endpoint": "http://h:9000/", "addressing": "virtual"}, "http://data.h:9000/"),
        ({"endpoint": "http://[::1]:9000"}, "http://[::1]:9000/data/"),
    ],
)
def test_requests_go_where_the_options_say(about: dict[str, Any], base: str) -> None:
    where = S3Options(**(GIVEN | about)).base
    assert f"{where.scheme}://{where.host_header}{where.path}" == base


def test_a_storage_opens_without_the_network_and_without_boto3() -> None:
    code = (
        "import sys; from scigate.storage_backends.s3 import TYPE, S3Options\n"
        "from scigate.storage_backends.credential import Secret\n"
        "TYPE.build(S3Options(bucket='data', endpoint='http://127.0.0.1:9', access_key='a', secret_key=Secret('b')))\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"boto3", "botocore"} & set(loaded)


def test_the_limits_reach_to_48_tebibytes() -> None:
    limits = TYPE.build(S3Options(**GIVEN)).limits
    assert limits.largest is not None
    assert limits.blocks_max is not None
    assert 48 * TiB <= limits.largest == limits.blocks_max * limits.block_max
    assert limits.atomic_no_replace  # AWS is known


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_is_stored_byte_for_byte(key: str, s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    if key == "e\u0301" and s3_server.name == "rclone":  # it would compose the letter
        with pytest.raises(InvalidName, match="NFC"):
            backend.put(f"f/{key}", b"data")
        return
    backend.put(f"f/{key}", b"data")
    prefix = backend._prefix
    listed = s3_server.client().list_objects_v2(Bucket=s3_server.bucket, Prefix=prefix)["Contents"]
    assert [item["Key"] for item in listed] == [f"{prefix}f/{key}"]
    assert content(backend, f"f/{key}") == b"data"


@pytest.mark.parametrize("key", ["a//b", "./x", "a/./b", "a\\b", "a\nb"])
def test_a_name_that_a_server_would_change_is_kept_or_refused(key: str, s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    plain = key.replace("//", "/").replace("./", "").replace("\\", "/").replace("\n", "")
    backend.put(plain, b"plain")
    try:
        backend.put(key, b"odd")
    except InvalidName:
        with pytest.raises(InvalidName):
            backend.delete(key)
    else:
        assert content(backend, key) == b"odd"
    assert content(backend, plain) == b"plain"


def test_a_key_longer_than_1024_bytes_is_refused(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs, prefix="p")
    with pytest.raises(InvalidName, match="1024 bytes"):
        backend.put("d/" * 511 + "x", b"x")
    with pytest.raises(InvalidName, match="UTF-8"):
        backend.stat("a\udce9")


def test_a_probe_leaves_nothing(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    backend.probe()
    for odd in ("a//b", "a\\b", "e\u0301", "a\nb"):
        try:
            backend.put(odd, b"x")
            backend.delete(odd)
        except InvalidName:
            continue
    backend.draft("d", 1, key="k").discard()
    client = seaweedfs.client()
    assert client.list_objects_v2(Bucket=seaweedfs.bucket, Prefix=backend._prefix).get("KeyCount") == 0
    assert "Uploads" not in client.list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=backend._prefix)


def test_folder_markers_are_folders_and_never_files(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    assert backend.extras.mkdir is not None
    backend.extras.mkdir("top/empty/")
    backend.put("top/file", b"x")
    assert [entry.path for entry in backend.scan("top/")] == ["top/file"]
    assert {(e.path, e.kind) for e in backend.scan("top/", recursive=False)} == {
        ("top/empty/", Kind.FOLDER),
        ("top/file", Kind.FILE),
    }


# --- conditions and digests ------------------------------------------------------------------------------------------


def test_of_many_puts_with_if_absent_one_wins(seaweedfs: S3Server, open_s3: Open) -> None:
    backend, won, lost = open_s3(seaweedfs), [], []

    def put(number: int) -> None:
        try:
            backend.put("raced", b"%d" % number, if_absent=True, key=f"k{number}")
            won.append(number)
        except AlreadyExists:
            lost.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 11)
    assert content(backend, "raced") == b"%d" % won[0]


def test_where_the_server_cannot_refuse_to_overwrite_we_look_first(rclone_s3: S3Server, open_s3: Open) -> None:
    backend = open_s3(rclone_s3)
    backend.put("there", b"old")
    with pytest.raises(AlreadyExists):
        backend.put("there", b"new", if_absent=True)
    assert not backend.limits.atomic_no_replace
    assert content(backend, "there") == b"old"


def test_the_server_checks_what_it_is_sent(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    wrong = {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-sdk-checksum-algorithm": "CRC64NVME"}
    with pytest.raises(DigestMismatch):
        backend._data.put(f"{backend._prefix}x", "x", b"data", wrong)
    with pytest.raises(NotFound):
        backend.stat("x")


def test_what_is_stored_has_the_digest_of_what_was_sent(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    entry = backend.put("x", b"123456789", digests={"crc64nvme": "ae8b14860a799888"}, key="mine")
    assert entry.digests == {"crc64nvme": "ae8b14860a799888"}
    found = backend.stat("x")
    assert (found.digests, found.identity, found.version) == (entry.digests, "mine", entry.version)
    assert backend.extras.digest is not None
    assert backend.extras.digest("x", "crc64nvme") == "ae8b14860a799888"
    with pytest.raises(Unsupported):
        backend.extras.digest("x", "blake3")


def test_a_changed_source_is_noticed_before_the_first_byte(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    version = backend.put("x", b"old").version
    backend.put("x", b"new")
    for range_ in ((), (1, 1), (1,), (0, 0)):
        with pytest.raises(SourceChanged):
            content(backend, "x", *range_, version=version)


def test_a_range_beyond_the_end_is_truncated(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server)
    backend.put("x", b"0123456789")
    assert content(backend, "x", 3, 4) == b"3456"
    assert content(backend, "x", 10) == b""
    for range_ in ((8, 3), (11,), (20, 1)):
        with pytest.raises(Truncated):
            content(backend, "x", *range_)


# --- copies and links ------------------------------------------------------------------------------------------------


def copy(backend: S3Backend, source: str, to: str, **about: Any) -> tuple[Any, list[int]]:
    moved: list[int] = []
    given: dict[str, Any] = {"version": None, "if_absent": False, "key": "copy-key", "progress": moved.append}
    assert backend.extras.copy is not None
    return backend.extras.copy(source, to, **(given | about)), moved


def test_a_copy_keeps_content_type_and_metadata_and_has_its_own_identity(seaweedfs: S3Server, open_s3: Open) -> None:
    backend, client = open_s3(seaweedfs), seaweedfs.client()
    key = f"{backend._prefix}from ü+"
    about = {"ContentType": "text/x-fasta", "Metadata": {"scigate-id": "first", "run": "7"}, "CacheControl": "no-store"}
    client.put_object(Bucket=seaweedfs.bucket, Key=key, Body=b"ACGT", **about)
    entry, moved = copy(backend, "from ü+", "to")
    assert (entry.size, entry.identity, moved) == (4, "copy-key", [4])
    head = client.head_object(Bucket=seaweedfs.bucket, Key=f"{backend._prefix}to")
    assert (head["ContentType"], head["CacheControl"]) == ("text/x-fasta", "no-store")
    assert head["Metadata"] == {"scigate-id": "copy-key", "run": "7"}


def test_a_copy_in_parts_is_whole(seaweedfs: S3Server, open_s3: Open) -> None:
    from scigate.storage_backends.s3_copy import CopyJob, about_copy

    backend, data = open_s3(seaweedfs), bytes(range(256)) * (11 * 4096)
    backend.put("from", data)
    source = backend._data.head(f"{backend._prefix}from", "from")
    moved: list[int] = []
    job = CopyJob(
        backend._control,
        f"{backend._prefix}from",
        source,
        f"{backend._prefix}to",
        "to",
        about_copy(source, "parts"),
        False,
    )
    job.in_parts(moved.append, part_size=5 * MiB)
    assert moved == [5 * MiB, 5 * MiB, 1 * MiB]
    assert content(backend, "to") == data
    assert backend.stat("to").identity == "parts"


def test_a_stopped_copy_in_parts_leaves_nothing(seaweedfs: S3Server, open_s3: Open) -> None:
    from scigate.storage_backends.s3_copy import CopyJob, about_copy

    backend = open_s3(seaweedfs)
    backend.put("from", bytes(11 * MiB))
    source = backend._data.head(f"{backend._prefix}from", "from")
    job = CopyJob(
        backend._control, f"{backend._prefix}from", source, f"{backend._prefix}to", "to", about_copy(source, "k"), False
    )

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.in_parts(stop, part_size=5 * MiB)
    with pytest.raises(NotFound):
        backend.stat("to")
    uploads = seaweedfs.client().list_multipart_uploads(Bucket=seaweedfs.bucket, Prefix=f"{backend._prefix}to")
    assert "Uploads" not in uploads


def test_a_link_reads_without_a_credential_for_its_time(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs)
    backend.put("a b+ü%41", b"data")
    assert backend.extras.presign is not None
    url = backend.extras.presign("a b+ü%41", timedelta(minutes=1))
    assert urllib.request.urlopen(url, timeout=10).read() == b"data"
    for lifetime in (timedelta(days=8), timedelta(0)):
        with pytest.raises(Unsupported, match="7 days"):
            backend.extras.presign("a", lifetime)


# --- who and where ---------------------------------------------------------------------------------------------------


def test_a_wrong_secret_is_a_credential_error_on_every_way(seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(seaweedfs, secret_key=Secret("not-the-right-one"))
    actions: list[Callable[[], Any]] = [
        lambda: backend.put("x", b""),
        lambda: backend.stat("x"),
        lambda: content(backend, "x"),
        lambda: list(backend.scan()),
        lambda: backend.delete("x"),
        lambda: backend.draft("x", 1, key="k"),
        lambda: backend.abandon("x", key="k", ref="none k u", since=datetime.now(UTC)),
    ]
    for action in actions:
        with pytest.raises(CredentialRefused) as error:
            action()
        assert "not-the-right-one" not in str(error.value)


def test_an_unknown_access_key_is_a_credential_error(seaweedfs: S3Server, open_s3: Open) -> None:
    with pytest.raises(CredentialRefused, match="not known"):
        open_s3(seaweedfs, access_key="AKnobody").stat("x")


def test_a_missing_bucket_is_misconfigured(s3_server: S3Server, open_s3: Open) -> None:
    backend = open_s3(s3_server, bucket="no-such-bucket")
    with pytest.raises(Misconfigured, match="bucket does not exist"):
        list(backend.scan())


def test_a_server_that_is_down_is_unreachable_on_both_planes(seaweedfs: S3Server, open_s3: Open) -> None:
    (port,) = servers.free_ports(1)
    backend = open_s3(seaweedfs, endpoint=f"http://127.0.0.1:{port}")
    with pytest.raises(Unreachable):
        backend.stat("x")
    with pytest.raises(Unreachable):
        backend._control.create_upload("x", "x", "k")


@pytest.fixture(scope="module")
def tls_seaweedfs(tmp_path_factory: pytest.TempPathFactory, seaweedfs: S3Server) -> Any:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    with servers.seaweedfs(folder, certificate=authority.issue("127.0.0.1"), ca_file=authority.ca_file) as server:
        yield server


def test_a_ca_of_our_own_is_trusted_on_both_planes(tls_seaweedfs: S3Server, open_s3: Open) -> None:
    backend = open_s3(tls_seaweedfs, ca_file=tls_seaweedfs.ca_file)
    backend.put("small", b"data")
    assert content(backend, "small") == b"data"
    draft = backend.draft("large", 4, key="k")
    draft.publish([draft.write(0, 0, 4, [b"data"])], if_absent=True, digests={})
    assert content(backend, "large") == b"data"


def test_without_the_ca_the_server_is_not_trusted_on_either_plane(
    tls_seaweedfs: S3Server, open_s3: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tls_seaweedfs.ca_file))  # the environment does not count
    backend = open_s3(tls_seaweedfs)
    with pytest.raises(Unreachable, match="certificate"):
        backend.stat("x")
    with pytest.raises(Unreachable):
        backend._control.create_upload("x", "x", "k")


def test_an_unusable_ca_file_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"ca\.pem"):
        TYPE.build(S3Options(**GIVEN, ca_file=tmp_path / "ca.pem"))


def test_virtual_host_style_puts_the_bucket_into_the_host(tmp_path: Path, open_s3: Open) -> None:
    asked: list[str] = []

    def connect(host: str, port: int, timeout: float) -> Any:
        asked.append(host)
        return connect_directly("127.0.0.1", port, timeout)

    with servers.seaweedfs(tmp_path, domain="s3.test") as server:
        port = server.endpoint.rpartition(":")[2]
        backend = open_s3(server, connect, endpoint=f"http://s3.test:{port}", addressing="virtual")
        backend.put("a b", b"data")
        assert content(backend, "a b") == b"data"
        assert [entry.path for entry in backend.scan()] == ["a b"]
        assert content(open_s3(server, prefix=backend._prefix), "a b") == b"data"
    assert set(asked) == {"scigate.s3.test"}


def test_the_environment_does_not_change_where_requests_go(
    seaweedfs: S3Server, open_s3: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "somebody-else",
        "AWS_SECRET_ACCESS_KEY": "else",
        "AWS_SESSION_TOKEN": "token",
    }.items():
        monkeypatch.setenv(name, value)
    draft = open_s3(seaweedfs).draft("x", 1, key="k")
    assert draft.publish([draft.write(0, 0, 1, [b"x"])], if_absent=False, digests={}).size == 1


def test_tls_cannot_be_used_without_verification() -> None:
    context = TYPE.build(S3Options(**GIVEN))._data._pool._tls
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
