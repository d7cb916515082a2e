"""Page tickets: signed, short, and never more than what they were made from."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scigate.gateway_api.actor import Actor, Role
from scigate.gateway_api.auth.page_ticket import LIFETIME, LONGEST, TicketExpired, mint, read
from scigate.gateway_api.auth.page_tickets import PageTickets
from scigate.gateway_api.problems import Problem

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_800_000_000.0
ADA = Actor(
    "ada", "Ada", frozenset({"h3a", "bio"}), frozenset({Role.READER, Role.CURATOR}), "hub", frozenset({"bio"}), None
)


def test_it_says_who_made_it_and_what_they_may() -> None:
    ticket, expires = mint(KEY, ADA, NOW)
    found = read(KEY, ticket, NOW + 29.9)
    assert found is not None
    assert (found.id, found.name, found.communities) == ("ada", "Ada", {"h3a", "bio"})
    assert (found.roles, found.curates, found.proof) == ({Role.READER, Role.CURATOR}, {"bio"}, "ticket")
    assert found.expires == expires == NOW + LIFETIME.total_seconds()


def test_it_ends() -> None:
    ticket, expires = mint(KEY, ADA, NOW)
    assert expires - NOW == 30
    with pytest.raises(TicketExpired):
        read(KEY, ticket, expires)


def test_it_ends_with_what_it_was_made_from() -> None:
    nearly_over = Actor("ada", "Ada", proof="hub", expires=NOW + 7)
    _, expires = mint(KEY, nearly_over, NOW)
    assert expires == NOW + 7


def test_of_another_key_it_is_no_ticket_not_even_an_expired_one() -> None:
    ticket, _ = mint(OTHER, ADA, NOW)
    assert read(KEY, ticket, NOW) is None
    assert read(KEY, ticket, NOW + 1000) is None


def test_no_change_of_any_character_is_accepted() -> None:
    ticket, _ = mint(KEY, ADA, NOW)
    for at in range(len(ticket)):
        for other in ("A", "_", ".", "é"):
            changed = ticket[:at] + other + ticket[at + 1 :]
            assert changed == ticket or read(KEY, changed, NOW) is None


def test_more_rights_cannot_be_signed_with_the_old_signature() -> None:
    ticket, _ = mint(KEY, ADA, NOW)
    said, _, signature = ticket.partition(".")
    claims = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    claims["roles"] = ["admin"]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert read(KEY, f"{forged}.{signature}", NOW) is None
    assert read(KEY, f"{forged}.", NOW) is None
    assert read(KEY, forged, NOW) is None


@given(st.text(max_size=200), st.frozensets(st.text(max_size=40), max_size=20))
def test_any_name_goes_through_a_subprotocol_of_a_websocket(name: str, communities: frozenset[str]) -> None:
    ticket, _ = mint(KEY, Actor(name, name, communities), NOW)
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", ticket), "only characters of a token (RFC 9110 §5.6.2)"
    found = read(KEY, ticket, NOW)
    assert found is not None
    assert (found.id, found.communities) == (name, communities)


@given(st.text(max_size=300))
def test_nonsense_is_no_ticket(word: str) -> None:
    assert read(KEY, word, NOW) is None


def test_it_makes_no_other() -> None:
    tickets = PageTickets(KEY, lambda: NOW)
    made = tickets.create(ADA)
    holder = tickets.actor(made.ticket)
    assert holder is not None
    for make in (tickets.create, tickets.for_socket):
        with pytest.raises(Problem) as refused:
            make(holder)
        assert (refused.value.status, refused.value.code) == (403, "ticket-from-ticket")


def test_its_expiry_is_told() -> None:
    now = [NOW]
    tickets = PageTickets(KEY, lambda: now[0])
    made = tickets.create(ADA)
    assert (made.expires.timestamp(), made.expires_in) == (NOW + 30, 30)
    now[0] += 31
    with pytest.raises(Problem) as refused:
        tickets.actor(made.ticket)
    assert (refused.value.status, refused.value.code) == (401, "ticket-expired")
    assert made.ticket not in f"{refused.value} {refused.value.as_json()}"


def test_two_hundred_communities_fit_and_twenty_thousand_are_refused_in_words() -> None:
    tickets = PageTickets(KEY, lambda: NOW)
    many = Actor("ada", "Ada", frozenset(f"community-of-some-project-{n:03}" for n in range(200)))
    assert len(tickets.create(many).ticket) < LONGEST
    with pytest.raises(Problem) as refused:
        tickets.create(Actor("ada", "Ada", frozenset(f"community-{n}" for n in range(20_000))))
    assert refused.value.code == "too-many-communities"
