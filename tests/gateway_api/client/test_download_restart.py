"""A download goes on over a restart of the gateway, and never joins two versions of a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from scigate.gateway_api.client import Gateway

DATA = os.urandom(1 << 20) * 24


def test_a_download_goes_on_where_it_was_when_the_gateway_comes_back(
    start_gateway: Callable[..., Any], tmp_path: Path
) -> None:
    counted: list[int] = []
    half, back = threading.Event(), threading.Event()

    def received(count: int) -> None:
        counted.append(count)
        if sum(counted) > len(DATA) // 2 and not half.is_set():
            half.set()
            assert back.wait(240)

    target = tmp_path / "a"
    with start_gateway(tmp_path) as first:
        (first.files("lab") / "large").write_bytes(DATA)
        token = first.environment()["SCIGATE_TOKEN"]
        client = Gateway(first.url, token, patience=timedelta(seconds=240))
        thread = threading.Thread(target=client.get, args=("lab:/large", target), kwargs={"received": received})
        thread.start()
        assert half.wait(240)
        first.process.kill()
        first.process.wait()
    with client, start_gateway(tmp_path, port=urlsplit(first.url).port):
        back.set()
        thread.join(240)
    assert target.read_bytes() == DATA
    assert sum(counted) == len(DATA), "no byte came twice"
    assert min(counted) > 0, "it did not begin anew"


def test_a_range_of_a_file_that_has_changed_is_not_given(gateway_process: Any, tmp_path: Path) -> None:
    file = gateway_process.files("lab") / "changes"
    file.write_bytes(DATA[:1000])
    headers = {"Authorization": f"Bearer {gateway_process.environment()['SCIGATE_TOKEN']}"}
    with httpx.Client(base_url=gateway_process.url, headers=headers, timeout=60) as client:
        tag = client.head("/api/v1/files/lab/changes").headers["ETag"]
        wanted = {"Range": "bytes=500-", "If-Range": tag}
        assert client.get("/api/v1/files/lab/changes", headers=wanted).status_code == 206
        file.write_bytes(DATA[1000:2000])
        whole = client.get("/api/v1/files/lab/changes", headers=wanted)
    assert (whole.status_code, whole.content) == (200, DATA[1000:2000])


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=-100", "bytes=500-99999"])
def test_ranges_of_one_version_join(gateway_process: Any, wanted: str) -> None:
    file = gateway_process.files("lab") / "stays"
    file.write_bytes(DATA[:1000])
    headers = {"Authorization": f"Bearer {gateway_process.environment()['SCIGATE_TOKEN']}", "Range": wanted}
    answer = httpx.get(gateway_process.url + "/api/v1/files/lab/stays", headers=headers, timeout=60)
    first, _, last = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")[0].partition("-")
    assert answer.content == DATA[int(first) : int(last) + 1]
