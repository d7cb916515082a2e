"""How an S3 storage is set up and reached: options, credentials, regions, TLS, addresses."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from scigate.storage_backends.backend import GiB, MiB, TiB
from scigate.storage_backends.credential import Secret
from scigate.storage_backends.errors import (
    CredentialRefused,
    Misconfigured,
    Unreachable,
)
from scigate.storage_backends.registry import connect_directly
from scigate.storage_backends.s3 import TYPE, S3Backend, S3Options
from scigate.storage_backends.testing import servers
from scigate.storage_backends.testing.certificates import Authority
from scigate.storage_backends.testing.servers import S3Server

Open = Callable[..., S3Backend]


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


def test_virtual_host_style_puts_the_bucket_into_the_host(seaweedfs: S3Server, open_s3: Open) -> None:
    asked: list[str] = []

    def connect(host: str, port: int, timeout: float) -> Any:
        asked.append(host)
        return connect_directly("127.0.0.1", port, timeout)

    port = seaweedfs.endpoint.rpartition(":")[2]
    backend = open_s3(seaweedfs, connect, endpoint=f"http://s3.test:{port}", addressing="virtual")
    backend.put("a b", b"data")
    assert content(backend, "a b") == b"data"
    assert [entry.path for entry in backend.scan()] == ["a b"]
    assert content(open_s3(seaweedfs, prefix=backend._prefix), "a b") == b"data"
    assert set(asked) == {f"{seaweedfs.bucket}.s3.test"}


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
