"""A page in a notebook server of the hub, the server's extension, and the gateway as the hub's service."""

from __future__ import annotations

import time
from typing import Any

import httpx
from scigate.hub_config.testing import Hub


def test_a_page_talks_to_the_gateway_and_its_server_moves_the_users_files(hub: Hub) -> None:
    with hub.signed_in("carol") as browser:
        server = hub.spawn("carol")
        (home := hub.folder / "home" / "carol" / "run.bin").write_bytes(b"r" * 10_000_000)
        assert browser.get(server + "tree").status_code == 200
        cookies = {(cookie.name, cookie.path): str(cookie.value) for cookie in browser.cookies.jar}
        proof = {"X-XSRFToken": cookies["_xsrf", "/user/carol/"]}
        assert browser.post(server + "scigate/session").status_code == 403
        answer = browser.post(server + "scigate/session", headers=proof)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["user"], told["hub"], told["api"]) == ("carol", True, "/services/scigate/api/v1")
        with httpx.Client(headers={"Authorization": f"Bearer {told['ticket']}"}, timeout=60) as page_itself:
            mine = page_itself.get(f"{hub.url.rstrip('/')}{told['api']}/storages")
            assert "lab" in [storage["name"] for storage in mine.json()["items"]]
        home_api = hub.url.rstrip("/") + told["home_api"]
        listed = browser.get(home_api + "/storages", headers=proof).json()["items"]
        states = {storage["name"]: storage["state"] for storage in listed}
        assert (states["lab"], states["home"]) == ("up", "up")
        files = [{"source": "home:/run.bin", "destination": "lab:/from-home/"}]
        sent = browser.post(home_api + "/transfers", headers=proof, json={"files": files})
        assert sent.status_code == 202, sent.text
    transfer = finished(hub, sent.json()["transfer"]["id"])
    assert (transfer["state"], transfer["owner"]) == ("DONE", "carol")
    assert (hub.folder / "lab" / "from-home" / "run.bin").read_bytes() == home.read_bytes()
    assert told["ticket"] not in hub.log.read_text()


def finished(hub: Hub, id: str) -> dict[str, Any]:
    """Carol's transfer once it has ended; a page's ticket may be too old by then."""
    headers = {"Authorization": f"Bearer {hub.token('carol')}"}
    for _ in range(600):
        transfer: dict[str, Any] = hub.http.get(f"{hub.gateway}api/v1/transfers/{id}", headers=headers).json()
        if transfer["finished"]:
            return transfer
        time.sleep(0.2)
    raise AssertionError(transfer)
