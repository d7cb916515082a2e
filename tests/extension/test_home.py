"""The files of the Jupyter Server beside the hub's gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

Api = Callable[..., Any]
V1 = "api/v1"


async def finished(api: Api, id: str) -> dict[str, Any]:
    for _ in range(600):
        _, _, transfer = await api("GET", f"{V1}/transfers/{id}")
        if transfer["finished"]:
            return dict(transfer)
        await asyncio.sleep(0.05)
    raise AssertionError(f"not finished: {transfer}")


async def test_home_is_a_storage_beside_the_others(hub: Any, api: Api) -> None:
    status, _, page = await api("GET", f"{V1}/storages")
    assert status == 200
    assert [(storage["name"], storage["state"]) for storage in page["items"]] == [("lab", "up"), ("home", "up")]
    assert sum(storage["nearest"] for storage in page["items"]) <= 1


async def test_files_are_listed_read_written_and_removed(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "sub").mkdir()
    (jp_root_dir / "sub" / "a.txt").write_text("a")
    _, _, listed = await api("GET", f"{V1}/files/home/sub/")
    assert [entry["location"] for entry in listed["items"]] == ["home:/sub/a.txt"]
    assert (await api("GET", f"{V1}/files/home/sub/a.txt"))[2] == b"a"
    status, headers, answer = await api("PUT", f"{V1}/files/home/sub/b.txt", b"b" * 1000)
    assert status == 202, answer
    assert headers["Location"] == f"/a%40b/scigate/api/v1/transfers/{answer['transfer']['id']}"
    assert (await finished(api, answer["transfer"]["id"]))["state"] == "DONE"
    assert (jp_root_dir / "sub" / "b.txt").read_bytes() == b"b" * 1000
    assert (await api("POST", f"{V1}/files/home/new/"))[0] == 201
    assert (await api("DELETE", f"{V1}/files/home/sub/a.txt"))[0] == 204
    assert sorted(path.name for path in jp_root_dir.rglob("*")) == ["b.txt", "new", "sub"]


async def test_what_is_sent_is_a_transfer_of_the_gateway(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "run").mkdir()
    (jp_root_dir / "run" / "big.bin").write_bytes(b"x" * 20_000_000)
    (jp_root_dir / "run" / "link").symlink_to("big.bin")
    (jp_root_dir / "one.txt").write_text("one")
    files = [
        {"source": "home:/run/", "destination": "lab:/in/"},
        {"source": "home:/one.txt", "destination": "lab:/in/"},
    ]
    status, headers, answer = await api("POST", f"{V1}/transfers", {"files": files, "label": "both"})
    assert status == 202, answer
    id = answer["transfer"]["id"]
    assert headers["Location"].endswith(f"/transfers/{id}")
    assert list(answer["refused"]) == [str(jp_root_dir / "run" / "link")]
    done = await finished(api, id)
    assert (done["state"], done["label"], done["files"]["done"]) == ("DONE", "both", 2)
    assert (hub.lab / "in" / "big.bin").read_bytes() == b"x" * 20_000_000
    assert (hub.lab / "in" / "one.txt").read_text() == "one"


async def test_what_is_fetched_is_told_like_any_transfer(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (hub.lab / "out" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (hub.lab / "out" / name).write_text(name)
    files = [{"source": "lab:/out/", "destination": "home:/got/"}]
    status, _, answer = await api("POST", f"{V1}/transfers", {"files": files})
    assert status == 202, answer
    done = await finished(api, answer["transfer"]["id"])
    assert (done["state"], done["files"]["done"], done["bytes_done"]) == ("DONE", 2, 7), done
    assert (jp_root_dir / "got" / "deep" / "b").read_text() == "deep/b"
    _, _, again = await api("POST", f"{V1}/transfers", {"files": files})
    failed = await finished(api, again["transfer"]["id"])
    assert (failed["state"], failed["files"]["failed"]) == ("FAILED", 2)
    assert "exists" in failed["cause"]["message"]
