"""The strict layer itself: who misbehaves is refused with AWS's code, who does not is served."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import StrictS3, strict_s3
from scigate.storage_backends.testing.strict_s3_weather import Weather

from tests.evidence import record

from .s3_asking import Client, chunked, unsigned_chunks
from .s3_misbehaving import PART, RULES, Rule, crc64, signed_stream, streamed

XML = "application/xml"


@pytest.fixture(scope="module")
def layer(seaweedfs: S3Server) -> Iterator[StrictS3]:
    with strict_s3(seaweedfs) as layer:
        yield layer


@pytest.fixture
def client(layer: StrictS3) -> Iterator[Client]:
    yield Client(layer.server)
    layer.weather = Weather()
    assert layer.lies == []


def boto(layer: StrictS3, **options: Any) -> Any:
    """boto3 as it comes."""
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **options)
    server = layer.server
    return boto3.client(
        "s3", endpoint_url=server.endpoint, aws_access_key_id=server.access_key, region_name=server.region,
        aws_secret_access_key=server.secret_key, config=config,
    )  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_misbehaviour_is_refused_as_aws_does(client: Client, rule: Rule) -> None:
    begun = time.monotonic()
    reply = rule.do(client)
    record("strict.s3", runs=1, bad=int(not rule.kept(reply)), seconds=time.monotonic() - begun, part="rules")
    assert (reply.status, reply.code) == (rule.status, rule.code), reply.body
    assert reply.headers["content-type"] == XML
    assert reply.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')


def test_there_are_many_rules_and_each_has_a_name_of_its_own() -> None:
    assert len(RULES) >= 60
    assert len({str(rule) for rule in RULES}) == len(RULES)
    assert all(rule.says for rule in RULES)


def test_what_is_refused_is_not_stored(client: Client) -> None:
    client.put("x", b"old")
    for headers in ({"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {"x-amz-checksum-crc32": "AAAAAA=="}):
        assert client.put("x", b"new", headers).code == "BadDigest"
    assert client.ask("GET", "x").body == b"old"


# --- what is right passes --------------------------------------------------------------------------------------------


def test_every_way_to_send_a_body_arrives_whole(client: Client) -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    assert client.put("hashed", payload=digest).status == 200
    assert client.put("unsigned").status == 200
    trailed = unsigned_chunks([b"data"], {"x-amz-checksum-crc64nvme": crc64(b"data")})
    assert streamed(client, trailed, 4).status == 200
    assert {client.ask("GET", name).body for name in ("hashed", "unsigned", "streamed")} == {b"data"}
    assert signed_stream(client).status == 200
    assert client.ask("GET", "signed").body == b"a" * 65_536 + b"b" * 1000
    about = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "9000"}
    headers = client.signed("PUT", client.path("c"), "", about, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    body = chunked(client, [b"c" * 9000], {})
    assert client.send("PUT", client.path("c"), {**headers, "content-length": str(len(body))}, body).status == 200
    assert client.ask("GET", "c").body == b"c" * 9000


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_boto3_with_every_checksum_passes(client: Client, layer: StrictS3, algorithm: str) -> None:
    s3, data = boto(layer), hashlib.sha256(algorithm.encode()).digest() * 400_000
    key = f"{client.prefix}ä {algorithm}+~"
    about = {"ChecksumAlgorithm": algorithm}
    s3.put_object(Bucket="scigate", Key=key, Body=b"small", **about)
    s3.upload_fileobj(io.BytesIO(data), "scigate", key, ExtraArgs=about)
    assert s3.get_object(Bucket="scigate", Key=key)["Body"].read() == data
    found = s3.list_objects_v2(Bucket="scigate", Prefix=client.prefix)
    assert [item["Key"] for item in found["Contents"]] == [key]
    s3.delete_objects(Bucket="scigate", Delete={"Objects": [{"Key": key}]})
    assert "Contents" not in s3.list_objects_v2(Bucket="scigate", Prefix=client.prefix)


def test_boto3_copies_and_links_pass(client: Client, layer: StrictS3) -> None:
    s3, key = boto(layer, signature_version="s3v4"), f"{client.prefix}a b"
    s3.put_object(Bucket="scigate", Key=key, Body=b"x" * 6 * MiB)
    source = {"Bucket": "scigate", "Key": key}
    s3.copy_object(Bucket="scigate", Key=f"{key}2", CopySource=source)
    upload = s3.create_multipart_upload(Bucket="scigate", Key=f"{key}3")["UploadId"]
    to = {"Bucket": "scigate", "Key": f"{key}3", "UploadId": upload}
    spans = {1: f"bytes=0-{PART - 1}", 2: f"bytes={PART}-{6 * MiB - 1}"}
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part_copy(**to, PartNumber=n, CopySource=source, CopySourceRange=span)
         ["CopyPartResult"]["ETag"]}
        for n, span in spans.items()
    ]  # fmt: skip
    s3.complete_multipart_upload(**to, MultipartUpload={"Parts": parts})
    for name in (f"{key}2", f"{key}3"):
        assert s3.head_object(Bucket="scigate", Key=name)["ContentLength"] == 6 * MiB
    target = s3.generate_presigned_url("get_object", {"Bucket": "scigate", "Key": key}, ExpiresIn=60)
    reply = client.send("GET", target.removeprefix(layer.server.endpoint), {"host": client.host})
    assert (reply.status, len(reply.body)) == (200, 6 * MiB)


def test_rclone_passes(layer: StrictS3, tmp_path: Path, require: Callable[[str], Path]) -> None:
    rclone, folder = require("rclone"), tmp_path / "from"
    folder.mkdir()
    for name, size in {"small": 10, "empty": 0, "large": 11 * MiB + 1}.items():
        (folder / name).write_bytes(b"r" * size)
    far = ":s3:scigate/rclone"
    server = layer.server
    environment = {
        "RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENDPOINT": server.endpoint, "RCLONE_S3_REGION": server.region,
        "RCLONE_S3_ACCESS_KEY_ID": server.access_key, "RCLONE_S3_SECRET_ACCESS_KEY": server.secret_key,
        "RCLONE_S3_FORCE_PATH_STYLE": "true", "RCLONE_CONFIG": str(tmp_path / "none"), "HOME": str(tmp_path),
        "RCLONE_S3_UPLOAD_CUTOFF": "5M", "RCLONE_S3_CHUNK_SIZE": "5M", "RCLONE_S3_NO_CHECK_BUCKET": "true",
    }  # fmt: skip
    for command in (["copy", folder, far], ["copy", far, tmp_path / "back"], ["check", "--download", folder, far]):
        words = [rclone, *command]  # as it comes: what is refused for good is refused three times
        ended = subprocess.run(words, check=False, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    assert {path.name: path.stat().st_size for path in (tmp_path / "back").iterdir()} == {
        "small": 10, "empty": 0, "large": 11 * MiB + 1,
    }  # fmt: skip


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "status", "body", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-9", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_a_range_is_answered_exactly(client: Client, wish: str, status: int, body: bytes, told: str | None) -> None:
    client.put("ten", b"0123456789")
    reply = client.ask("GET", "ten", headers={"range": wish})
    assert (reply.status, reply.body, reply.headers.get("content-range")) == (status, body, told)
    assert reply.headers["content-length"] == str(len(body))


def test_a_page_holds_as_many_keys_as_asked_for(client: Client) -> None:
    for number in range(3):
        client.put(f"{number}")
    for wish, keys, more in ((0, 0, None), (2, 2, "true"), (3, 3, "false"), (5000, 3, "false")):
        about = {"list-type": "2", "max-keys": str(wish), "prefix": client.prefix}
        reply = client.ask("GET", None, about)
        assert reply.body.count(b"<Contents>") == keys
        assert more is None or reply.text("IsTruncated") == more


def test_of_writes_at_once_with_a_condition_one_wins(client: Client, layer: StrictS3) -> None:
    """Also before a server that looks first and stores then."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda n: client.put("one", b"%d" % n, {"if-none-match": "*"}), range(8)))
    assert sorted(reply.status for reply in replies) == [200] + [412] * 7
    won = next(number for number, reply in enumerate(replies) if reply.status == 200)
    assert client.ask("GET", "one").body == b"%d" % won


def test_completing_begins_before_it_is_done(client: Client) -> None:
    upload = client.begin("long")
    reply = client.complete("long", upload, client.stored("long", upload, {1: 10}))
    assert reply.headers["transfer-encoding"] == "chunked"
    assert re.match(rb'<\?xml version="1.0" encoding="UTF-8"\?>\n   \n\s*<Complete', reply.body)
    assert reply.text("ETag")


def test_continue_is_said_only_to_a_head_that_is_right(client: Client) -> None:
    for secret, said in ((None, b"HTTP/1.1 100"), ("wrong", b"HTTP/1.1 403")):
        headers = client.signed("PUT", client.path("x"), "", {}, secret=secret)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"PUT {client.path('x')} HTTP/1.1", *lines, "Content-Length: 4", "Expect: 100-continue"])
        host, _, port = client.host.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head.encode() + b"\r\n\r\n")
            assert connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == said
            if secret is None:
                connection.sendall(b"data")
                answer = http.client.HTTPResponse(connection)
                answer.begin()  # it reads over the 100
                assert answer.status == 200


# --- the weather -----------------------------------------------------------------------------------------------------


def test_every_third_request_is_one_too_many(client: Client, layer: StrictS3) -> None:
    layer.weather = Weather(slow_down_every=3, retry_after=("7", None))
    replies = [client.put("x") for _ in range(6)]
    assert [reply.status for reply in replies] == [200, 200, 503, 200, 200, 503]
    assert [reply.code for reply in replies if reply.status == 503] == ["SlowDown"] * 2
    assert sorted(str(reply.headers.get("retry-after")) for reply in replies if reply.status == 503) == ["7", "None"]


def test_a_lost_answer_is_to_something_that_was_done(client: Client, layer: StrictS3) -> None:
    layer.weather = Weather(lost_every=1)
    assert client.put("lost").code == "InternalError"
    layer.weather = Weather()
    assert client.ask("GET", "lost").body == b"data"
    upload = client.begin("whole")
    parts = client.stored("whole", upload, {1: 10})
    layer.weather = Weather(lost_every=1)
    assert client.complete("whole", upload, parts).status == 500
    assert client.ask("GET", "whole").body == b"x" * 10
    layer.weather = Weather()
    assert client.complete("whole", upload, parts).code == "NoSuchUpload"


def test_an_error_may_come_after_a_head_that_says_200(client: Client, layer: StrictS3) -> None:
    layer.weather = Weather(error_in_200_every=1)
    upload = client.begin("x")
    reply = client.complete("x", upload, client.stored("x", upload, {1: 10}))
    assert (reply.status, reply.code) == (200, "InternalError")
    assert client.ask("GET", "x").status == 404
    layer.weather = Weather()
    assert client.ask("GET", "x", {"uploadId": upload}).status == 200, "the upload is still there"


def test_a_conflict_leaves_nothing_of_the_upload(client: Client, layer: StrictS3) -> None:
    upload = client.begin("x")
    parts = client.stored("x", upload, {1: 10})
    layer.weather = Weather(conflict_every=1)
    reply = client.complete("x", upload, parts, {"if-none-match": "*"})
    assert (reply.status, reply.code) == (409, "ConditionalRequestConflict")
    layer.weather = Weather()
    assert client.complete("x", upload, parts).code == "NoSuchUpload"


def test_a_connection_may_end_without_a_word(client: Client, layer: StrictS3) -> None:
    layer.weather = Weather(close_every=1)
    connection = http.client.HTTPConnection(client.host, timeout=30)
    connection.request("GET", client.path("x"), headers=client.signed("GET", client.path("x"), "", {}))
    answer = connection.getresponse()
    answer.read()
    assert answer.headers["connection"] is None
    assert connection.sock is not None
    assert connection.sock.recv(1) == b""
    connection.close()


def test_documents_may_come_without_their_type(client: Client, layer: StrictS3) -> None:
    layer.weather = Weather(bare_xml=True)
    for reply in (client.ask("GET", "nothing"), client.ask("GET", None, {"list-type": "2", "max-keys": "1"})):
        assert "content-type" not in reply.headers
        assert reply.body.startswith(b"<?xml")
