"""How real S3 servers differ: each is asked every rule, and the page about it says what was seen.

``SCIGATE_WRITE_DOCS=1`` writes the page anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Final

import pytest
from scigate.storage_backends.testing.servers import S3Server

from .s3_asking import Client
from .s3_misbehaving import RULES, Rule

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "s3-servers.md"
MARKS: Final = ("<!-- table -->\n", "<!-- end of the table -->\n")
NAMES: Final = {"seaweedfs": "SeaweedFS", "rclone": "rclone serve s3", "moto": "moto"}


def answer(client: Client, rule: Rule) -> str:
    """``yes``: as AWS refuses it; another code or status; ``no``: it was done."""
    try:
        reply = rule.do(client)
    except (AssertionError, KeyError, OSError, HTTPException):  # it broke off, at this request or one on the way to it
        return "-"
    if rule.kept(reply):
        return "yes"
    return "no" if reply.status < 400 else f"{reply.status} {reply.code}".strip()


@pytest.fixture(scope="module")
def seen(seaweedfs: S3Server, rclone_s3: S3Server, moto_s3: S3Server) -> dict[str, dict[str, str]]:
    """Server → rule → answer."""
    servers = (seaweedfs, rclone_s3, moto_s3)
    return {server.name: {str(rule): answer(Client(server), rule) for rule in RULES} for server in servers}


def table(seen: dict[str, dict[str, str]]) -> Iterator[str]:
    about = ""
    for rule in RULES:
        if rule.about != about:
            about = rule.about
            yield f"\n## {about}\n\n| what a client does | AWS | {' | '.join(NAMES.values())} |\n|{5 * '---|'}\n"
        cells = " | ".join(seen[server][str(rule)] for server in NAMES)
        yield f"| {rule.says} | {rule.status} {rule.code} | {cells} |\n"


def test_the_page_says_what_the_servers_do(seen: dict[str, dict[str, str]]) -> None:
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    there, _, behind = rest.partition(MARKS[1])
    written = "".join(table(seen)) + "\n"
    if os.environ.get("SCIGATE_WRITE_DOCS"):
        PAGE.write_text(before + MARKS[0] + written + MARKS[1] + behind)
    else:
        assert there == written


def test_every_lenient_server_lets_something_pass(seen: dict[str, dict[str, str]]) -> None:
    assert all("no" in answers.values() for answers in seen.values()), "then the strict layer is not needed before it"
