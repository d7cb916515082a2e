"""Reading headers from strangers: tables of what counts, and what counts as not said."""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scigate.storage_backends import http_headers as read
from scigate.storage_backends.web_url import parse_web_url, safe_name

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DATA = b"science"
SHA = hashlib.sha256(DATA).digest()
SHA_64 = base64.b64encode(SHA).decode()
MD5 = hashlib.md5(DATA).digest()
MD5_64 = base64.b64encode(MD5).decode()
ADLER = zlib.adler32(DATA).to_bytes(4, "big")
ADLER_64 = base64.b64encode(ADLER).decode()
DATE = "Fri, 20 Nov 2026 11:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("0", 0), ("7", 7), (" 120 ", 120), ("3600", 3600), ("3601", 3600), ("999999999999999999999", 3600)),
        *(("1" * 5000, 3600), ("Fri, 20 Nov 2026 12:00:30 GMT", 30), ("Fri, 20 Nov 2026 11:59:00 GMT", 0)),
        *(("Fri, 20 Nov 2099 12:00:00 GMT", 3600), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)),
        *(("-1", None), ("1.5", None), ("", None), ("soon", None), ("1e400", None), ("٣", None), ("+5", None)),
        *(("Fri, 99 Nov 2026 12:00:00 GMT", None), ("Fri, 20 Nov 99999999999 12:00:00 GMT", None), ("NaN", None)),
    ],
)
def test_retry_after(value: str, seconds: int | None) -> None:
    assert read.retry_after({"retry-after": value}, NOW) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("headers", "digests"),
    [
        ({"repr-digest": f"sha-256=:{SHA_64}:"}, {"sha-256": SHA.hex()}),
        ({"repr-digest": f"sha-256=:{SHA_64}:;x=1, md5=:{MD5_64}: , adler=:{ADLER_64}:"},
         {"sha-256": SHA.hex(), "md5": MD5.hex(), "adler": ADLER.hex()}),
        ({"repr-digest": f"unixsum=:AAA=:, md5=:{MD5_64}:"}, {"md5": MD5.hex()}),
        ({"repr-digest": f"sha-256={SHA_64}"}, {}),  # not a byte sequence
        ({"repr-digest": f"sha-256=:{SHA_64}:, broken"}, {}),  # RFC 8941: one bad member, no field
        ({"repr-digest": f"sha-256=:{MD5_64}:"}, {}),  # of another length
        ({"repr-digest": "sha-256=:!!!!:"}, {}),
        ({"repr-digest": "sha-256=::"}, {}),
        ({"digest": f"SHA-256={SHA_64},md5={MD5_64}"}, {"sha-256": SHA.hex(), "md5": MD5.hex()}),
        ({"digest": f"adler32={ADLER.hex()}"}, {"adler": ADLER.hex()}),
        ({"digest": f"ADLER32={ADLER.hex().upper()}"}, {"adler": ADLER.hex()}),
        ({"digest": f"md5={MD5.hex()}"}, {"md5": MD5.hex()}),
        ({"digest": "adler32=1234, unixcksum=7, md5="}, {}),
        ({"digest": f"md5={MD5_64}", "repr-digest": f"sha-256=:{SHA_64}:"}, {"sha-256": SHA.hex()}),
        ({"content-digest": f"sha-256=:{SHA_64}:", "content-md5": MD5_64}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_digests(headers: dict[str, str], digests: dict[str, str]) -> None:
    assert read.digests_of(headers) == digests


@pytest.mark.parametrize(
    ("value", "found"),
    [
        *(("bytes 0-0/1", (0, 0, 1)), ("bytes 5-9/100", (5, 9, 100)), ("bytes 5-9/*", (5, 9, None))),
        *(("bytes 9-5/100", None), ("bytes 0-100/100", None), ("bytes */100", None), ("items 0-1/2", None)),
        *(("bytes=0-1/2", None), ("bytes -1-1/2", None), ("bytes 0-1/2, bytes 0-1/2", None), ("", None)),
        *(("bytes 0-9223372036854775808000/*", None), ("bytes 0-0x1/2", None), ("bytes 0-1/2 ", None)),
    ],
)
def test_content_range(value: str, found: tuple[int, int, int | None] | None) -> None:
    assert read.content_range({"content-range": value}) == found


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"etag": '"abc"'}, 'etag "abc"'),
        ({"etag": '"abc"', "last-modified": DATE}, 'etag "abc"'),
        ({"etag": 'W/"abc"', "last-modified": DATE}, 'modified 2026-11-20T11:00:00+00:00 size 9 W/"abc"'),
        ({"etag": 'W/"abc"'}, None),  # a weak ETag promises no equal bytes
        ({"etag": "abc", "last-modified": DATE}, "modified 2026-11-20T11:00:00+00:00 size 9"),
        ({"etag": '"a"b"'}, None),
        ({"last-modified": "yesterday"}, None),
        ({}, None),
    ],
)
def test_version(headers: dict[str, str], version: str | None) -> None:
    assert read.version_of(headers, 9) == version


def test_conditions_repeat_what_the_version_was_made_of() -> None:
    strong = read.version_of({"etag": '"abc"'}, 9)
    assert read.conditions(strong, ranged=True) == {"If-Match": '"abc"', "If-Range": '"abc"'}
    assert read.conditions(strong, ranged=False) == {"If-Match": '"abc"'}
    dated = read.version_of({"last-modified": DATE}, 9)
    assert read.conditions(dated, ranged=True) == {"If-Unmodified-Since": DATE}
    assert read.conditions(None, ranged=True) == {}


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="run 7.bam"', "run 7.bam"),
        ("attachment; filename=run.bam", "run.bam"),
        ("ATTACHMENT; FILENAME=run.bam; size=1", "run.bam"),
        ("attachment; filename*=UTF-8''m%C3%A4rz.csv", "märz.csv"),
        ("attachment; filename=\"x\"; filename*=utf-8'de'm%C3%A4rz.csv", "märz.csv"),
        ("attachment; filename*=ISO-8859-1''m%E4rz.csv", "märz.csv"),
        ("attachment; filename*=UTF-8''%ff; filename=plain", "plain"),
        ("attachment; filename*=utf-7''%2BADw-; filename=plain", "plain"),
        ('attachment; filename="m\u00c3\u00a4rz.csv"', "märz.csv"),  # UTF-8 where Latin-1 is due
        ('attachment; filename="a\\"b.csv"', 'a"b.csv'),
        ('attachment; x="; filename=evil"; filename=good', "good"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('attachment; filename="C:\\\\Windows\\\\system.ini"', "system.ini"),
        ('attachment; filename="/etc/"', "fallback.bin"),
        ('attachment; filename=".."', "fallback.bin"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ("attachment; filename*=UTF-8''a%00b%0d%0ac", "abc"),
        ("attachment; filename*=UTF-8''%E2%80%AEgpj.exe", "gpj.exe"),
        ("attachment", "fallback.bin"),
        ("", "fallback.bin"),
    ],
)
def test_suggested_name(disposition: str, name: str) -> None:
    target = parse_web_url("https://h/a/fallback.bin?x=/y")
    assert read.suggested_name(target, {"content-disposition": disposition}) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h", "download"),
        ("https://h/a/", "download"),
        ("https://h/..%2f..%2fetc%2fpasswd", "passwd"),
        ("https://h/%2e%2e", "download"),
        ("https://h/a%00b", "ab"),
        ("https://h/a%ffb", "a\udcffb"),
        ("https://h/a%20b.bam?x#y", "a b.bam"),
    ],
)
def test_name_from_the_url(url: str, name: str) -> None:
    assert read.suggested_name(parse_web_url(url), {}) == name


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.text(max_size=400))
def test_a_safe_name_is_safe(text: str) -> None:
    name = safe_name(text.encode("utf-8", "replace").decode())
    assert not set(name) & set("/\\\0\r\n")
    assert not name.startswith(".")
    assert len(name.encode("utf-8", "surrogateescape")) <= 255
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("coding", "name", "refused"),
    [
        ("", "a.csv", False),
        ("identity", "a.csv", False),
        ("gzip", "a.csv", True),
        ("gzip", "a.csv.gz", False),
        ("x-gzip", "A.TGZ", False),
        ("gzip", "a.bz2", True),
        ("br", "a.csv", True),
        ("zstd", "a.zst", False),
        ("gzip, gzip", "a.gz", True),
        ("odd", "a.odd", True),
    ],
)
def test_coding_that_nobody_asked_for(coding: str, name: str, refused: bool) -> None:
    assert bool(read.undecoded({"content-encoding": coding}, [name])) is refused
