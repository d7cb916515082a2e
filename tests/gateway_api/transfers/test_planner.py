"""Blocks that fit every storage, and what an existing destination means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.resources import Overwrite
from scigate.gateway_api.transfers.planner import Verdict, block_length, cut, judge, worth_moving
from scigate.storage_backends.backend import Entry, GiB, Kind, Limits, MiB, TiB
from scigate.storage_backends.errors import AlreadyExists, NotRegular, TooLarge

S3 = Limits(block_min=5 * MiB, block_preferred=16 * MiB, block_max=5 * GiB, blocks_max=10_000)
LARGEST = 10_000 * 5 * GiB  # 48.8 TiB: more does not fit into the parts of one upload
OLD = datetime(2020, 1, 1, tzinfo=UTC)
NEW = OLD + timedelta(seconds=1)


@given(st.one_of(st.integers(0, LARGEST), st.integers(0, GiB), st.integers(LARGEST - GiB, LARGEST)))
def test_blocks_obey_the_limits_of_s3(size: int) -> None:
    length = block_length(size, S3)
    count = -(-size // length)
    assert count <= 10_000
    assert 5 * MiB <= length <= 5 * GiB
    assert length % MiB == 0


@given(st.integers(0, 64 * MiB), st.integers(1, 8 * MiB))
def test_blocks_cover_a_file_exactly(size: int, length: int) -> None:
    length = max(length, size // 1000 + 1)
    blocks = list(cut(size, length))
    assert [block.number for block in blocks] == list(range(len(blocks)))
    end = 0
    for block in blocks:
        assert block.offset == end
        assert 0 < block.length <= length
        end += block.length
    assert end == size
    assert {block.length for block in blocks[:-1]} <= {length}


@pytest.mark.parametrize("size", [0, 1, 16 * MiB, 16 * MiB + 1, 160_000 * MiB, 160_000 * MiB + 1, 5 * TiB, LARGEST])
def test_the_last_byte_is_in_the_last_block(size: int) -> None:
    length = block_length(size, S3)
    ends = [block.offset + block.length for block in cut(size, length)]
    assert ends[-1:] == ([size] if size else [])


@pytest.mark.parametrize("size", [LARGEST + 1, 60 * TiB])
def test_a_file_that_fits_into_no_upload_is_refused_before_the_first_byte(size: int) -> None:
    with pytest.raises(TooLarge, match=str(size)):
        block_length(size, S3)


def test_the_largest_object_of_a_storage_is_known_before() -> None:
    limits = Limits(largest=100)
    assert block_length(100, limits) > 0
    with pytest.raises(TooLarge, match="101 bytes; this storage takes at most 100"):
        block_length(101, limits)


def file(size: int = 10, modified: datetime | None = OLD, **digests: str) -> Entry:
    return Entry("f", size=size, modified=modified, digests=digests)


GO, SKIP, COMPARE = Verdict.GO, Verdict.SKIP, Verdict.COMPARE


@pytest.mark.parametrize("overwrite", Overwrite)
def test_where_nothing_is_every_policy_says_go(overwrite: Overwrite) -> None:
    assert judge(overwrite, file(), None) is GO


@pytest.mark.parametrize("overwrite", Overwrite)
@pytest.mark.parametrize("kind", [Kind.FOLDER, Kind.OTHER])
def test_what_is_no_file_is_never_replaced(overwrite: Overwrite, kind: Kind) -> None:
    with pytest.raises(NotRegular, match=f"is a {kind}"):
        judge(overwrite, file(), Entry("f", kind))


def test_the_policy_fail_keeps_what_is_there() -> None:
    with pytest.raises(AlreadyExists, match="'f'"):
        judge(Overwrite.FAIL, file(), file())


@pytest.mark.parametrize(
    ("overwrite", "source", "existing", "verdict"),
    [
        (Overwrite.OVERWRITE, file(), file(), GO),
        (Overwrite.SKIP_SAME, file(10), file(11), GO),
        (Overwrite.SKIP_SAME, file(), file(), COMPARE),
        (Overwrite.SKIP_SAME, file(md5="a"), file(crc32c="a"), COMPARE),
        (Overwrite.SKIP_SAME, file(md5="a"), file(md5="a"), SKIP),
        (Overwrite.SKIP_SAME, file(md5="a"), file(md5="b"), GO),
        (Overwrite.SKIP_SAME, file(md5="a", crc32c="1"), file(md5="a", crc32c="2"), GO),
        (Overwrite.SKIP_SAME, file(11, md5="a"), file(10, md5="a"), GO),
        (Overwrite.NEWER, file(modified=NEW), file(), GO),
        (Overwrite.NEWER, file(), file(modified=NEW), SKIP),
        (Overwrite.NEWER, file(), file(), SKIP),
        (Overwrite.NEWER, file(11), file(10), GO),
        (Overwrite.NEWER, file(modified=None), file(), GO),
        (Overwrite.NEWER, file(), file(modified=None), GO),
    ],
)
def test_policies(overwrite: Overwrite, source: Entry, existing: Entry, verdict: Verdict) -> None:
    assert judge(overwrite, source, existing) is verdict


@pytest.mark.parametrize(
    ("size", "moved", "arrived", "most", "worth"),
    [
        (None, 0, 100 * MiB, None, False),  # the sender has not said how long it will be
        (8 * MiB, 0, 8 * MiB, None, False),  # small: when all of it is here, which is not asked for here
        (100 * MiB, 0, 16 * MiB - 1, None, False),
        (100 * MiB, 0, 16 * MiB, None, True),
        (100 * MiB, 96 * MiB, 100 * MiB, None, False),
        (32 * GiB, GiB, 2 * GiB - 1, None, False),
        (32 * GiB, GiB, 2 * GiB, None, True),
        (32 * GiB, GiB, GiB + 64 * MiB, 64 * MiB, True),  # there is no room for more of it
    ],
)
def test_an_upload_is_moved_on_when_it_is_worth_it(
    size: int | None, moved: int, arrived: int, most: int | None, worth: bool
) -> None:
    assert worth_moving(size, moved, arrived, most) is worth
