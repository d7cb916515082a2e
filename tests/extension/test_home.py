"""The files of the Jupyter Server beside the hub's gateway."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scigate.extension.home_records import Promise
from scigate.extension.upstream import Fixed, Upstream

from .conftest import TOKEN

Api = Callable[..., Any]
V1 = "api/v1"


async def finished(api: Api, id: str) -> dict[str, Any]:
    for _ in range(2400):
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


async def test_what_is_sent_is_a_transfer_of_the_gateway(hub: Any, api: Api, jp_root_dir: Path, tmp_path: Path) -> None:
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
    promises = list((tmp_path / "jupyter-state").rglob("*.json"))
    assert promises
    assert not [path for path in promises if TOKEN in path.read_text()]


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


async def test_what_cannot_be_is_refused_in_words(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "out").symlink_to("/etc")
    (jp_root_dir / "empty").mkdir()
    (jp_root_dir / "f").write_text("f")

    async def refusal(source: str, destination: str, **more: Any) -> tuple[int, str]:
        body = {"files": [{"source": source, "destination": destination}], **more}
        status, headers, answer = await api("POST", f"{V1}/transfers", body)
        assert headers["Content-Type"] == "application/problem+json"
        assert answer["title"]
        assert answer["next_step"]
        return status, answer["code"]

    assert await refusal("home:/none", "lab:/x") == (404, "not-found")
    assert await refusal("home:/empty/", "lab:/x/") == (422, "nothing-to-send")
    assert await refusal("home:/out/passwd", "lab:/x") == (422, "invalid-name")
    assert await refusal("home:/../x", "lab:/x") == (422, "invalid-request")
    assert await refusal("lab:/x", "home:/out/x") == (422, "invalid-name")
    assert await refusal("lab:/x", "home:/x", overwrite="newer") == (422, "unsupported")
    assert await refusal("home:/f", "lab:/x", kind="x") == (422, "invalid-request")
    assert await refusal("home:/f", "lab:/x", verify="reread") == (422, "unsupported")
    assert await refusal("lab:/x", "home:/x", not_before="2040-01-01T00:00:00Z") == (422, "unsupported")
    assert await refusal("home:/f", "nowhere:/x") == (404, "not-found")
    assert await refusal("home:/f", "lab:/x", overwrite="perhaps") == (422, "invalid-request")
    status, _, answer = await api("POST", f"{V1}/transfers", "[" * 100_000, {"Content-Type": "application/json"})
    assert (status, answer["code"]) == (400, "malformed")
    status, _, answer = await api("GET", f"{V1}/transfers/home-none")
    assert (status, answer["code"]) == (404, "not-found")
    assert not (hub.lab / "x").exists()


async def test_what_is_sent_can_be_for_later(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "f").write_text("f")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"files": [{"source": "home:/f", "destination": "lab:/later"}], "not_before": later}
    status, _, answer = await api("POST", f"{V1}/transfers", body)
    assert status == 202, answer
    assert datetime.fromisoformat(answer["transfer"]["not_before"]) == datetime.fromisoformat(later)


async def test_what_is_sent_twice_with_a_key_is_sent_once(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "f").write_text("f")
    body = {"files": [{"source": "home:/f", "destination": "lab:/once"}]}
    answers = [await api("POST", f"{V1}/transfers", body, {"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer[2]["replayed"] for answer in answers] == [False, True]
    assert len({answer[2]["transfer"]["id"] for answer in answers}) == 1
    assert len((await api("GET", f"{V1}/transfers"))[2]["items"]) == 1


async def test_an_upload_to_home_stays_here(hub: Any, api: Api, jp_root_dir: Path) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    destination = base64.b64encode(b"home:/up.txt").decode()
    begin = {**tus, "Upload-Length": "5", "Upload-Metadata": f"destination {destination}"}
    status, headers, _ = await api("POST", f"{V1}/uploads", headers=begin)
    assert status == 201
    path = headers["Location"].removeprefix("/a%40b/scigate/")
    patch = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    assert (await api("PATCH", path, b"hello", patch))[0] == 204
    for _ in range(1200):
        upload = (await api("GET", path))[2]
        if upload["state"] == "DONE":
            break
        await asyncio.sleep(0.05)
    assert upload["state"] == "DONE"
    assert (jp_root_dir / "up.txt").read_bytes() == b"hello"
    assert (await api("GET", f"{V1}/uploads"))[2]["items"] == []  # those of the gateway


async def test_a_move_within_home_is_one(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (jp_root_dir / "old").write_text("x")
    status, _, answer = await api("POST", f"{V1}/moves", {"source": "home:/old", "destination": "home:/new"})
    assert (status, answer["location"]) == (200, "home:/new")
    assert (jp_root_dir / "new").read_text() == "x"


async def test_a_fetch_is_cancelled_and_tried_again(hub: Any, api: Api, jp_root_dir: Path) -> None:
    (hub.lab / "f").write_text("f")
    (jp_root_dir / "f").write_text("old")
    body = {"files": [{"source": "lab:/f", "destination": "home:/f"}]}
    id = (await api("POST", f"{V1}/transfers", body))[2]["transfer"]["id"]
    assert (await finished(api, id))["state"] == "FAILED"
    assert (await api("POST", f"{V1}/transfers/{id}/pause"))[0] == 409
    (jp_root_dir / "f").unlink()
    assert (await api("POST", f"{V1}/transfers/{id}/retry"))[0] == 202
    assert (await finished(api, id))["state"] == "DONE"
    assert (await api("POST", f"{V1}/transfers/{id}/cancel"))[2]["state"] == "DONE"


async def test_the_next_start_goes_on_by_itself(
    hub: Any, api: Api, extension: Any, jp_serverapp: Any, jp_root_dir: Path
) -> None:
    (hub.lab / "f").write_text("f")
    promised = Promise("fetch", [("lab:/f", "home:/later/")], "fail", None, None, time.time())
    extension.home_beside.jobs._records.save(promised)
    await jp_serverapp._post_start()
    for _ in range(1200):
        if (await api("GET", f"{V1}/transfers/{promised.id}"))[0] == 200:
            break
        await asyncio.sleep(0.05)
    assert (await finished(api, promised.id))["state"] == "DONE"
    assert (jp_root_dir / "later" / "f").read_text() == "f"


async def test_whose_an_id_is_cannot_be_learned_from_a_failure(hub: Any, api: Api, extension: Any) -> None:
    destination = base64.b64encode(b"home:/up.txt").decode()
    begin = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": f"destination {destination}"}
    path = (await api("POST", f"{V1}/uploads", headers=begin))[1]["Location"].removeprefix("/a%40b/scigate/")

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    home = extension.home_beside
    server = await asyncio.start_server(fail, "127.0.0.1", 0)
    door, home.door = home.door, Fixed(Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "t"))
    assert (await api("GET", path))[0] == 503
    home.door = door
    server.close()
    assert (await api("GET", path))[0] == 200
