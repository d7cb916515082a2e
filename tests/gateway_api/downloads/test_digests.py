"""Which digests a download tells, decided without I/O."""

from __future__ import annotations

import pytest
from scigate.gateway_api.downloads.digests import preferences, to_compute, told

KNOWN = {"crc64nvme": "00" * 8, "sha-256": "11" * 32, "unheard-of": "22"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, {}),
        ("", {}),
        ("sha-256=10", {"sha-256": 10}),
        (" sha-256=3 ,\tsha-512=0", {"sha-256": 3, "sha-512": 0}),
        ("sha-256=1, unheard-of=10", {"sha-256": 1}),
        ("sha-256=1, sha-256=9", {"sha-256": 9}),  # the last one counts: RFC 9651, 4.2.2
        ("sha-256=11", {}),
        ("sha-256=-1", {}),
        ("sha-256", {}),
        ("SHA-256=1", {}),
        ("sha-256=1,", {}),
        ("sha-256=1;x=" + "9" * 1000, {}),
    ],
)
def test_what_a_client_wants(header: str | None, expected: dict[str, int]) -> None:
    assert preferences(header) == expected


def test_without_a_wish_all_that_is_known_is_told() -> None:
    assert set(told(KNOWN, {})) == {"crc64nvme", "sha-256"}


def test_of_what_is_known_the_wanted_is_told() -> None:
    assert set(told(KNOWN, {"sha-256": 1, "md5": 9})) == {"sha-256"}
    assert set(told(KNOWN, {"md5": 9})) == {"crc64nvme", "sha-256"}
    assert set(told(KNOWN, {"sha-256": 0})) == {"crc64nvme"}
    assert told({"sha-256": "11"}, {"sha-256": 0}) == {}


def test_only_what_is_missing_is_computed() -> None:
    assert to_compute(KNOWN, {"sha-256": 1, "md5": 9}) == []
    assert to_compute({}, {"sha-256": 1, "md5": 9, "adler": 0}) == ["md5", "sha-256"]
    assert to_compute(KNOWN, {}) == []
