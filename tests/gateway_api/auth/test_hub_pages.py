"""The pages of a gateway that serves a hub, as a browser sees them that signs in there."""

from __future__ import annotations

import html
import logging
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from scigate.gateway_api.http.hub.routes import PAGES
from scigate.gateway_api.policy import Rule
from scigate.storage_backends.testing.servers import free_ports

from .conftest import Beside, gateway_beside
from .hub_process import BASE, EVE, PREFIX, TRUST

COOKIE = "service-scigate"
STATUSES = {
    ("GET", "/"): {"anonymous": 302, "reader": 200, "user": 200, "curator": 200, "admin": 200, "without a right": 403},
    ("GET", "/oauth_callback"): dict.fromkeys(
        ("anonymous", "reader", "user", "curator", "admin", "without a right"), 403
    ),
    ("POST", "/sign-out"): dict.fromkeys(("anonymous", "reader", "user", "curator", "admin", "without a right"), 403),
}
"""What each kind of visitor gets: nobody completes a sign-in, or signs out, that they have not begun on our page."""
VISITORS = {"reader": "rita", "user": "alice", "curator": "bob", "admin": "root", "without a right": "zoe"}


class Page(HTMLParser):
    """The tags and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def sign_in(browser: httpx.Client, user: str, begin: str = PREFIX) -> httpx.Response:
    """From our page to the hub's form and back."""
    form = browser.get(begin)
    assert "/hub/login" in str(form.url), form.text
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', form.text)
    assert xsrf is not None
    fields = {"username": user, "password": "x", "_xsrf": html.unescape(xsrf[1])}
    return browser.post(str(form.url), data=fields)


@pytest.fixture(scope="module")
def alice(beside: Beside) -> httpx.Client:
    """A browser in which alice is signed in."""
    browser = beside.browser()
    page = sign_in(browser, "alice")
    assert (page.status_code, page.url.path) == (200, PREFIX), page.text
    return browser


def xsrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert found is not None
    return html.unescape(found[1])


def test_every_page_is_in_the_matrix() -> None:
    assert {(route.method, route.path) for route in PAGES} == set(STATUSES)
    assert {route.path for route in PAGES if route.rule is Rule.ANYONE} == {"/oauth_callback"}
    assert {route.rule for route in PAGES} == {Rule.ANYONE, Rule.PAGE}


@pytest.mark.parametrize("visitor", ["anonymous", *VISITORS])
def test_matrix(beside: Beside, visitor: str) -> None:
    browser = beside.browser()
    if visitor != "anonymous":
        sign_in(browser, VISITORS[visitor])
    for (method, path), expected in STATUSES.items():
        answer = browser.request(method, PREFIX.rstrip("/") + path, follow_redirects=False)
        assert answer.status_code == expected[visitor], (method, path, answer.text)
        assert "script" not in Page(answer.text).tags


def test_who_is_not_signed_in_is_not_counted_among_those_who_are_here(beside: Beside) -> None:
    assert httpx.get(beside.service.url + PREFIX, verify=TRUST, timeout=60).status_code == 302
    assert "" not in beside.service.gateway.presence._recent()


def test_who_is_not_signed_in_is_sent_to_the_hub_and_comes_back(beside: Beside) -> None:
    browser = beside.browser()
    first = browser.get(PREFIX, follow_redirects=False)
    assert first.headers["Location"].startswith(f"{BASE}hub/api/oauth2/authorize?")
    page = sign_in(browser, "bob", PREFIX + "?refresh=0")
    assert (page.status_code, page.url.path, page.url.query) == (200, PREFIX, b"refresh=0")
    assert "Signed in as <strong>bob</strong>" in page.text
    without_slash = browser.get(PREFIX.rstrip("/"))
    assert (without_slash.status_code, without_slash.url.path) == (200, PREFIX)


def test_the_page_tells_how_the_gateway_is_and_what_moves(beside: Beside, alice: httpx.Client) -> None:
    program = beside.client(beside.hub.new_token("alice")[0])
    (beside.folder / "lab" / "source").write_bytes(b"data")
    for label, source in (("<b>bold</b>", "lab:/source"), ("lost", "lab:/none")):
        body = {"files": [{"source": source, "destination": f"lab:/{len(label)}"}], "label": label}
        made = program.post("/api/v1/transfers", json=body).json()["transfer"]
        while not program.get(f"/api/v1/transfers/{made['id']}").json()["finished"]:
            pass
    program.put("/api/v1/files/lab/without-a-label", content=b"x")
    page = alice.get(PREFIX).text
    assert "The gateway is well" in page
    assert "without-a-label → lab" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert "Failed" in page
    assert "Done" in page
    assert 'class="why"' in page, "why it failed"


def test_what_has_not_begun_or_is_one_file_is_told_as_people_would(beside: Beside, alice: httpx.Client) -> None:
    program = beside.client(beside.hub.new_token("alice")[0])
    later = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    for label, more in (("in\u202egpj.exe", {}), ("می\u200cخواهم", {"not_before": later})):
        body = {"files": [{"source": "lab:/none", "destination": f"lab:/{len(label)}"}], "label": label} | more
        made = program.post("/api/v1/transfers", json=body).json()["transfer"]
        while not more and not program.get(f"/api/v1/transfers/{made['id']}").json()["finished"]:
            pass
    rows = re.findall(r"<tr data-id=.*?</tr>", alice.get(PREFIX).text, re.DOTALL)
    scheduled, failed = (next(row for row in rows if name in row) for name in ("می\u200cخواهم", "in\ufffdgpj.exe"))
    assert ">Scheduled<" in scheduled
    assert " B<" not in scheduled, "how much it is, is not known yet"
    assert re.search(r">Failed<.*>1 file<", failed, re.DOTALL)


def test_the_page_renews_itself_only_for_who_asks_for_that(alice: httpx.Client) -> None:
    """Who has it read aloud would lose their place again and again (WCAG 2.2, 2.2.1)."""
    still, again, renewed = (alice.get(PREFIX + query) for query in ("", "?refresh=0", "?refresh=1"))
    for page in (still, again):
        assert "Refresh" not in page.headers
        assert {("href", PREFIX), ("href", f"{PREFIX}?refresh=1")} <= set(Page(page.text).attributes)
    assert renewed.headers["Refresh"] == "10"
    assert "Keep it as it is" in renewed.text
    for page in (still, renewed):
        assert "http-equiv" not in [name for name, _ in Page(page.text).attributes]


def test_others_transfers_are_not_shown_not_even_to_an_admin(beside: Beside, alice: httpx.Client) -> None:
    made = beside.client(beside.hub.new_token("bob")[0]).put(
        "/api/v1/files/lab/bobs", content=b"x", params={"label": "a secret of bob"}
    )
    assert made.status_code == 202, made.text
    assert "a secret of bob" not in alice.get(PREFIX).text
    admin = beside.browser()
    assert "a secret of bob" not in sign_in(admin, "root").text


def test_there_is_no_script_and_nothing_from_elsewhere(alice: httpx.Client) -> None:
    answer = alice.get(PREFIX)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    page = Page(answer.text)
    assert not {"script", "img", "link", "iframe", "object", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [value or "" for name, value in page.attributes if name in ("href", "src", "action")]
    assert [link for link in links if not link.startswith(BASE)] == []
    assert page.tags.count("h1") == 1
    assert ("lang", "en") in page.attributes


def test_a_hostile_name_is_text(beside: Beside) -> None:
    page = sign_in(beside.browser(), EVE)
    assert page.status_code == 200
    assert html.escape(EVE, quote=False).replace('"', "&quot;") in page.text
    assert "img" not in Page(page.text).tags


def test_signing_out_needs_the_form_of_the_page(beside: Beside) -> None:
    browser = beside.browser()
    page, out = sign_in(browser, "alice"), f"{PREFIX}sign-out"
    for fields in ({}, {"_xsrf": "x"}, {"_xsrf": xsrf_of(page)[:-2]}, {"other": xsrf_of(page)}):
        assert browser.post(out, data=fields).status_code == 403
    assert browser.post(out, json={"_xsrf": xsrf_of(page)}).status_code == 403
    assert browser.post(out, content=b"x" * 5000).status_code == 400
    assert browser.get(PREFIX, follow_redirects=False).status_code == 200, "still signed in"
    gone = browser.post(out, data={"_xsrf": xsrf_of(page)})
    assert gone.status_code == 200
    assert "You are signed out" in gone.text
    assert COOKIE not in browser.cookies
    assert browser.get(PREFIX, follow_redirects=False).status_code == 302


def test_the_form_of_somebody_else_is_no_form(beside: Beside, alice: httpx.Client) -> None:
    other = beside.browser()
    foreign = xsrf_of(sign_in(other, "bob"))
    assert alice.post(f"{PREFIX}sign-out", data={"_xsrf": foreign}).status_code == 403


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin"])
def test_a_script_of_another_users_page_reads_nothing(alice: httpx.Client, mode: str) -> None:
    """It may run on the same origin, and the browser sends the cookie."""
    site = "cross-site" if mode == "no-cors" else "same-origin"
    headers = {"Sec-Fetch-Mode": mode, "Sec-Fetch-Site": site}
    answer = alice.get(PREFIX, headers=headers, follow_redirects=False)
    assert answer.status_code == 302
    assert "alice" not in answer.text


def test_a_cookie_opens_no_api_and_no_socket(alice: httpx.Client) -> None:
    assert alice.get(f"{PREFIX}api/v1/storages").status_code == 401
    assert alice.post(f"{PREFIX}api/v1/tickets/page").status_code == 401
    assert alice.get(f"{PREFIX}api/v1/events/ws").status_code == 401


def test_a_token_in_a_header_opens_no_page(beside: Beside, alice: httpx.Client) -> None:
    token, _ = beside.hub.new_token("bob")
    headers = {"Authorization": f"Bearer {token}"}
    assert alice.get(PREFIX, headers=headers, follow_redirects=False).status_code == 302


def test_a_sign_in_that_was_begun_elsewhere_is_refused(beside: Beside) -> None:
    begun = beside.browser().get(PREFIX, follow_redirects=False)
    state = httpx.URL(begun.headers["Location"]).params["state"]
    victim = beside.browser()
    answer = victim.get(f"{PREFIX}oauth_callback", params={"code": "x" * 30, "state": state})
    assert answer.status_code == 403
    assert "Signing in did not work" in answer.text
    broken_off = victim.get(f"{PREFIX}oauth_callback", params={"error": "access_denied", "error_description": "<b>"})
    assert broken_off.status_code == 403
    assert "<b>" not in broken_off.text


def test_the_cookies_are_kept_from_scripts_and_other_sites(beside: Beside) -> None:
    browser = beside.browser()
    sent: list[str] = []
    browser.event_hooks = {"response": [lambda answer: sent.extend(answer.headers.get_list("set-cookie"))]}
    sign_in(browser, "alice")
    ours = [cookie for cookie in sent if f"path={PREFIX}" in cookie.lower() and '=""' not in cookie]
    assert {cookie.partition("=")[0] for cookie in ours} == {COOKIE, f"{COOKIE}-oauth-state", "_xsrf"}
    assert all("samesite=lax" in cookie.lower() for cookie in ours), ours
    assert all("httponly" in cookie.lower() for cookie in ours), ours


def test_https_in_front_makes_the_cookies_secure(beside: Beside) -> None:
    first = beside.browser().get(PREFIX, headers={"X-Forwarded-Proto": "https"}, follow_redirects=False)
    assert "secure" in first.headers["Set-Cookie"].lower()


def test_a_hub_that_is_down_makes_a_page_that_says_so(beside: Beside, tmp_path: Path) -> None:
    """And signing out works all the same."""
    browser = beside.browser()
    page, nobody = sign_in(browser, "alice"), free_ports(1)[0]
    (tmp_path / "state").mkdir(0o700)
    key = Path(beside.folder / "state" / "secret.key")
    (tmp_path / "state" / "secret.key").touch(0o600)
    (tmp_path / "state" / "secret.key").write_text(key.read_text())
    with gateway_beside(tmp_path, 0, beside.hub, f"http://127.0.0.1:{nobody}/hub/api") as alone:
        cookies = {cookie.name: cookie.value or "" for cookie in browser.cookies.jar if cookie.path == PREFIX}
        cookies["jupyterhub-session-id"] = browser.cookies["jupyterhub-session-id"]
        down = httpx.get(
            alone.url + "/", cookies=cookies, headers={"Sec-Fetch-Mode": "navigate"}, verify=TRUST, timeout=60
        )
        assert (down.status_code, down.headers["Retry-After"]) == (503, "5")
        assert "The hub cannot be asked who you are" in down.text
        assert "script" not in Page(down.text).tags
        gone = httpx.post(
            alone.url + "/sign-out", cookies=cookies, data={"_xsrf": xsrf_of(page)}, verify=TRUST, timeout=60
        )
        assert (gone.status_code, "You are signed out" in gone.text) == (200, True), gone.text


def test_the_log_names_no_secret(beside: Beside, caplog: pytest.LogCaptureFixture) -> None:
    browser = beside.browser()
    with caplog.at_level(logging.DEBUG):
        sign_in(browser, "alice")
        browser.get(PREFIX)
    secrets = [cookie.value or "" for cookie in browser.cookies.jar] + [beside.hub.token]
    own = [record.getMessage() for record in caplog.records if record.name.startswith(("scigate", "tornado"))]
    assert len(secrets) >= 3
    assert [secret for secret in secrets for line in own if secret in line] == []
