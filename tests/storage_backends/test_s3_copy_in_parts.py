"""A copy in parts, of which some are refused: they are asked for again, and not all the others with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scigate.storage_backends.backend import MiB
from scigate.storage_backends.errors import NotFound, Unreachable
from scigate.storage_backends.s3 import S3Backend
from scigate.storage_backends.s3_copy import CopyJob, about_copy
from scigate.storage_backends.testing.servers import S3Server
from scigate.storage_backends.testing.strict_s3 import StrictS3, strict_s3
from scigate.storage_backends.testing.strict_s3_weather import Mood, Weather

DATA = bytes(range(256)) * (11 * 4096)


@pytest.fixture
def layer(seaweedfs: S3Server) -> Iterator[StrictS3]:
    with strict_s3(seaweedfs) as layer:
        yield layer
    assert layer.lies == []


def _job(backend: S3Backend) -> CopyJob:
    backend.put("from", DATA)
    source = backend._data.head(f"{backend._prefix}from", "from")
    to = f"{backend._prefix}to"
    return CopyJob(backend._data, backend._control, source, to, "to", about_copy(source, "k"), False)


class Passing(Weather):
    """Fine again after more requests than the three parts and their repetitions by boto3 are."""

    def mood(self, operation: str, *, conditional: bool = False) -> Mood:
        return Mood.FINE if sum(self.met.values()) >= 7 else super().mood(operation, conditional=conditional)


@pytest.mark.parametrize("how", [{"slow_down_every": 1}, {"lost_every": 1}, {"error_in_200_every": 1}])
def test_a_part_that_is_refused_is_asked_for_again(
    layer: StrictS3, open_s3: Callable[..., S3Backend], how: dict[str, Any]
) -> None:
    backend = open_s3(layer.server)
    job, uploads, moved = _job(backend), list[str](), list[int]()
    begin = backend._control.create_copy_upload
    backend._control.create_copy_upload = lambda *about: uploads.append(begin(*about)) or uploads[-1]  # type: ignore[method-assign]
    layer.weather = Passing(only=frozenset({"UploadPartCopy"}), **how)
    job.in_parts(moved.append, part_size=5 * MiB)
    assert sum(layer.weather.met.values()) >= 7
    assert moved == [5 * MiB, 5 * MiB, 1 * MiB]
    assert len(uploads) == 1
    assert b"".join(bytes(piece) for piece in backend.read("to")) == DATA


def test_what_will_never_be_is_not_asked_for_again(layer: StrictS3, open_s3: Callable[..., S3Backend]) -> None:
    backend = open_s3(layer.server)
    job = _job(backend)
    backend.put("from", DATA[::-1])
    layer.seen.clear()
    with pytest.raises(Exception) as refused:
        job.in_parts(lambda length: None, part_size=5 * MiB)
    assert not isinstance(refused.value, Unreachable)
    asked = [one.code for one in layer.seen if one.operation == "UploadPartCopy"]
    assert 1 <= len(asked) <= 3, "each of the three parts once"
    assert set(asked) == {"PreconditionFailed"}


def test_a_storage_that_refuses_for_ever_ends_the_copy_and_leaves_nothing(
    layer: StrictS3, open_s3: Callable[..., S3Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.storage_backends.s3_copy.PART_DELAYS", (0.01, 0.01))
    backend = open_s3(layer.server)
    job = _job(backend)
    layer.weather = Weather(only=frozenset({"UploadPartCopy"}), error_in_200_every=1)
    with pytest.raises(Unreachable):
        job.in_parts(lambda length: None, part_size=5 * MiB)
    layer.weather = Weather()
    assert list(backend._control.uploads(job.key, "to")) == []


def test_a_copy_whose_last_answer_was_lost_is_found_out(
    layer: StrictS3, open_s3: Callable[..., S3Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scigate.storage_backends.s3_copy.ONE_REQUEST_MAX", MiB)
    backend = open_s3(layer.server)
    backend.put("from", DATA)
    assert backend._features.leftovers, "asked before the weather is bad"
    assert backend.extras.copy is not None
    about: dict[str, Any] = {"version": None, "if_absent": False, "progress": lambda _: None}
    layer.weather = lost = Weather(only=frozenset({"CompleteMultipartUpload"}), lost_every=2, _asked=Counter(lost=1))
    assert backend.extras.copy("from", "to", key="mine", **about).identity == "mine"
    assert lost.met["lost"] == 1
    layer.weather = Weather()
    with pytest.raises(NotFound):
        backend.extras.copy("nothing", "to", key="other", **about)
