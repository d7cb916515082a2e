"""Locations are read strictly, print as they were read, and show no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.storage_backends.errors import InvalidName
from scigate.storage_backends.location import LONGEST_PATH, Location, Url, check_path, join, parse, parse_source, redact

storage_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
# surrogates U+DC80 to U+DCFF are how bytes that are not UTF-8 travel (PEP 383)
characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]
)
paths = st.text(characters, max_size=300).filter(lambda path: ".." not in path.split("/") and path[:1] != "/")

REFUSED = [
    # not a location at all
    "",
    " ",
    "a",
    "/",
    ":",
    ":/",
    "/etc/passwd",
    "./file",
    "../file",
    "a:b",
    "a:",
    "storage:file",
    "C:\\data",
    "a;/b",
    # names that no storage has
    "://x",
    ":/x",
    " :/x",
    "A:/x",
    "Storage:/x",
    "my_storage:/x",
    "my storage:/x",
    "my.storage:/x",
    "-a:/x",
    "a-:/x",
    "-:/x",
    "a" * 64 + ":/x",
    "ä:/x",
    "a\n:/x",
    "\na:/x",
    "a/b:/x",
    "a@b:/x",
    "user:pw@host:/x",
    "..:/x",
    "a\0:/x",
    "а:/x",  # Cyrillic
    "１:/x",  # full width
    # schemes that are none of ours
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "s3://bucket/key",
    "ftp://host/x",
    "gopher://host/x",
    "javascript:/alert(1)x/..",
    "s3://key:secret@host/x",
    "a://x",
    "a:///x",
    # paths that lead out of the root, or cannot be
    "a:/..",
    "a:/../b",
    "a:/b/..",
    "a:/b/../c",
    "a:/b/../../c",
    "a://..",
    "a:/../",
    "a:/./..",
    "a:/b\0",
    "a:/\0",
    "a:/b/\0/c",
    "a:/\ud800",  # a surrogate that stands for no byte
    "a:/b/\udc7f",
    "a:/\udd00c",
    "a:/" + "n" * (LONGEST_PATH + 1),
    "a:/" + "ü" * (LONGEST_PATH // 2 + 1),
]


@given(storage_names, paths)
def test_what_is_printed_is_read_back(storage: str, path: str) -> None:
    location = Location(storage, path)
    assert parse(str(location)) == location
    assert parse_source(str(location)) == location


@given(st.text(max_size=60))
def test_any_text_is_a_location_or_invalid(text: str) -> None:
    try:
        location = parse(text)
    except InvalidName as error:
        assert error.message
    else:
        assert str(location) == text


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse(text)
    assert caught.value.message.strip()
    assert caught.value.next_step.strip()


def test_a_refused_url_shows_no_secret() -> None:
    with pytest.raises(InvalidName) as caught:
        parse_source("s3://canary-user:canary-pass@host/x?key=canary-query")
    assert "canary" not in caught.value.message + caught.value.next_step
    assert "http and https" in caught.value.next_step


def test_there_are_enough_refusals() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 40


@pytest.mark.parametrize(
    ("text", "storage", "path"),
    [
        ("a:/", "a", ""),
        ("demo-s3:/run7/a.bam", "demo-s3", "run7/a.bam"),
        ("demo-s3:/run7/", "demo-s3", "run7/"),
        ("0:/x", "0", "x"),
        ("a:/b//x", "a", "b//x"),
        ("a:/b:/c", "a", "b:/c"),
        ("a:/ x ", "a", " x "),
        ("a:/..b", "a", "..b"),
        ("a:/b..", "a", "b.."),
        ("a:/...", "a", "..."),
        ("a:/b%2e%2e/c", "a", "b%2e%2e/c"),
        ("a:/é", "a", "é"),
        ("a:/b?c#d", "a", "b?c#d"),
    ],
)
def test_taken_as_it_stands(text: str, storage: str, path: str) -> None:
    assert parse(text) == Location(storage, path)


@pytest.mark.parametrize(("path", "folder"), [("", True), ("a/", True), ("a", False), ("a/b", False), ("/", True)])
def test_a_folder_ends_in_a_slash(path: str, folder: bool) -> None:
    assert Location("a", path).is_folder is folder


def test_a_long_path_is_as_long_as_it_may_be() -> None:
    assert check_path("n" * LONGEST_PATH) == "n" * LONGEST_PATH
    assert len(check_path("\udce9" * LONGEST_PATH)) == LONGEST_PATH


@pytest.mark.parametrize("url", ["http://h/x", "https://h/x", "HTTPS://h/x", "https://h/a?b=c#d"])
def test_urls_are_sources(url: str) -> None:
    assert parse_source(url) == Url(url)


SECRETS = ["canary-user", "canary-pass", "canary-query", "canary-fragment"]
SECRET_URL = "https://canary-user:canary-pass@host:8443/p%20q/a.bam?X-Amz-Signature=canary-query&b#canary-fragment"


def test_a_url_shows_no_secret_when_printed() -> None:
    for shown in (str(Url(SECRET_URL)), repr(Url(SECRET_URL)), f"{Url(SECRET_URL)}", f"{[Url(SECRET_URL)]}"):
        assert not [secret for secret in SECRETS if secret in shown]
        assert "https://host:8443/p%20q/a.bam?…" in shown
    assert Url(SECRET_URL).value == SECRET_URL


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/x", "https://h/x"),
        ("https://u:p@h/x", "https://h/x"),
        ("https://a@b@h/x", "https://h/x"),
        ("https://h/x?token=1", "https://h/x?…"),
        ("https://h/x#f", "https://h/x"),
        ("https://[::1]:8/x", "https://[::1]:8/x"),
        ("https://[::1/x?token=canary-query", "(unreadable URL)"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(st.text(max_size=50), st.text(alphabet="abcdefgh", min_size=12, max_size=12))
def test_no_query_survives_redaction(front: str, secret: str) -> None:
    front = front.replace("#", "").replace("?", "").replace(secret, "")
    assert secret not in redact(f"https://host/{front}?key={secret}")


@pytest.mark.parametrize(
    ("folder", "name", "path"), [("", "a", "a"), ("f/", "a", "f/a"), ("f", "a", "f/a"), ("f/g/", "a/b", "f/g/a/b")]
)
def test_join(folder: str, name: str, path: str) -> None:
    assert join(folder, name) == path
