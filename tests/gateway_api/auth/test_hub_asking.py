"""How often the hub is asked, and how much strangers can make the gateway ask and keep."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from scigate.gateway_api.actor import Actor
from scigate.gateway_api.auth import hub as module
from scigate.gateway_api.problems import Problem
from scigate.gateway_api.settings import HubSection
from scigate.storage_backends.credential import Secret

from .conftest import Beside, gateway_beside, problem
from .hub_process import PREFIX, TRUST, wait_until

STATUS = "/api/v1/status"


@dataclass
class Window:
    """Passes questions on to the hub, and counts them. ``delay``: how long each waits, unless ``opened``."""

    hub: str
    delay: float = 0.0
    opened: threading.Event = field(default_factory=threading.Event)
    questions: int = 0
    most_at_once: int = 0
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, path: str, authorization: str) -> httpx.Response:
        with self._lock:
            self.questions += 1
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            self.opened.wait(self.delay)
            return httpx.get(self.hub + path, headers={"Authorization": authorization}, timeout=120, verify=TRUST)
        finally:
            with self._lock:
                self._open -= 1


@pytest.fixture(scope="module")
def window(beside: Beside) -> Iterator[tuple[Window, str]]:
    """In front of the hub; and its address."""
    made = Window(beside.hub.url.rpartition("/one/")[0])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = made.ask(self.path, self.headers["Authorization"])
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made, f"http://127.0.0.1:{server.server_port}/one/hub/api"
        server.shutdown()


@pytest.fixture(scope="module")
def behind(beside: Beside, window: tuple[Window, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """A gateway that asks through the window."""
    with gateway_beside(tmp_path_factory.mktemp("behind"), 0, beside.hub, window[1]) as made:
        yield made


@pytest.fixture
def watched(behind: Beside, window: tuple[Window, str]) -> tuple[Beside, Window]:
    """It, and the window, which has seen nothing yet."""
    window[0].delay, window[0].questions, window[0].most_at_once = 0.0, 0, 0
    window[0].opened.clear()
    return behind, window[0]


@pytest.fixture
def long_believed(behind: Beside, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Answers of the hub are believed for an hour, however slow the machine is; until it is undone."""
    hub = behind.service._hub.parts.oauth
    assert hub is not None
    monkeypatch.setattr(hub, "_believed", 3600.0)
    return monkeypatch


def many(gateway: Beside, tokens: list[str]) -> list[httpx.Response]:
    """A request with each token, all at once."""
    client = gateway.client()
    with ThreadPoolExecutor(len(tokens)) as pool:
        return list(pool.map(lambda token: client.get(STATUS, headers={"Authorization": f"Bearer {token}"}), tokens))


@pytest.mark.usefixtures("long_believed")
def test_the_same_is_asked_once_at_a_time(beside: Beside, watched: tuple[Beside, Window]) -> None:
    gateway, window = watched
    token, _ = beside.hub.new_token("alice")
    window.delay = 0.3
    assert {answer.status_code for answer in many(gateway, [token] * 30)} == {200}
    assert window.questions == 1


def test_an_answer_is_believed_a_good_one_and_a_bad_one_but_not_for_long(
    beside: Beside, watched: tuple[Beside, Window], long_believed: pytest.MonkeyPatch
) -> None:
    gateway, window = watched
    token, _ = beside.hub.new_token("alice")
    known = [(gateway.client(token), 200), (gateway.client("f" * 32), 401)]
    for client, status in known:
        window.questions = 0
        assert [client.get(STATUS).status_code for _ in range(5)] == [status] * 5
        assert window.questions == 1
    long_believed.undo()
    time.sleep(1.1)  # longer than by the settings
    for client, status in known:
        window.questions = 0
        assert client.get(STATUS).status_code == status
        assert window.questions == 1


def test_strangers_ask_few_questions_at_once(watched: tuple[Beside, Window]) -> None:
    gateway, window = watched
    window.delay = 0.1
    answers = many(gateway, [f"{number:032x}" for number in range(40)])
    assert {answer.status_code for answer in answers} == {401}
    assert 1 < window.most_at_once <= module.AT_ONCE


def test_too_many_who_wait_are_told_to_come_back(
    watched: tuple[Beside, Window], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, window = watched
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    window.delay = 120.0
    tokens = [f"{number:032x}" for number in range(100, 108)]
    with ThreadPoolExecutor(len(tokens)) as pool:
        asked = [pool.submit(gateway.client(token).get, STATUS) for token in tokens]
        wait_until(lambda: sum(one.done() for one in asked) == len(tokens) - module.MOST_WAITING)
        window.opened.set()
    answers = [one.result() for one in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == len(tokens) - module.MOST_WAITING
    problem(refused[0], 503, "hub-busy")
    assert {answer.status_code for answer in answers} == {401, 503}


def test_behind_a_hub_that_says_nothing_nobody_waits_for_all_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    monkeypatch.setattr(module, "MOST_WAITING", 10_000)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/hub/api"
        section = HubSection(api_url=address, api_token=Secret("0" * 32))

        async def all_at_once() -> list[Actor | BaseException | None]:
            hub = module.Hub(section)
            asked = (hub.actor(f"{number:032x}") for number in range(100 * module.AT_ONCE))
            return await asyncio.gather(*asked, return_exceptions=True)

        before = time.monotonic()
        answers = asyncio.run(all_at_once())
    assert time.monotonic() - before < 60, "one after the other it would be a hundred"
    assert {answer.code for answer in answers if isinstance(answer, Problem)} == {"hub-unreachable", "hub-busy"}


def test_strangers_cannot_fill_the_memory(watched: tuple[Beside, Window], monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, _ = watched
    monkeypatch.setattr(module, "REMEMBERED", 5)
    hub, client = gateway.service._hub.parts.oauth, gateway.client()  # type: ignore[union-attr]
    for number in range(200, 215):
        client.get(STATUS, headers={"Authorization": f"Bearer {number:032x}"})
        begun = httpx.get(
            gateway.service.url + PREFIX, headers={"Sec-Fetch-Mode": "navigate"}, verify=TRUST, timeout=60
        )
        assert begun.status_code == 302
        assert len(hub._answers) <= 5
        assert len(hub._oauth_states) <= 5
    too_long = httpx.get(f"{gateway.service.url}{PREFIX}?refresh=0&x={'y' * 3000}", verify=TRUST, timeout=60)
    assert too_long.status_code == 422, "an address to come back to is never long"


def test_a_token_that_can_be_none_is_not_asked_about(watched: tuple[Beside, Window]) -> None:
    gateway, window = watched
    for word in ("x" * 600, "é", "a\tb"):
        answer = gateway.client().get(STATUS, headers={"Authorization": f"Bearer {word}".encode("latin-1")})
        assert answer.status_code in (400, 401)
    assert window.questions == 0


def test_who_hangs_up_leaves_the_others_their_answer(beside: Beside, watched: tuple[Beside, Window]) -> None:
    gateway, window = watched
    token, _ = beside.hub.new_token("alice")
    window.delay = 60.0
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(impatient, gateway, token)
        wait_until(lambda: window.questions)
        second = pool.submit(gateway.client(token).get, STATUS)
        assert first.result()
        window.opened.set()
        assert second.result().status_code == 200


def impatient(gateway: Beside, token: str) -> bool:
    """Asks, and is gone before the answer comes."""
    patience = httpx.Timeout(30, read=0.2)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(gateway.url + STATUS, headers={"Authorization": f"Bearer {token}"}, timeout=patience, verify=TRUST)
    return True
