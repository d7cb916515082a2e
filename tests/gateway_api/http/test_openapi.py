"""The document that describes the API is whole, valid and true."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate
from scigate.gateway_api.http.docs import page
from scigate.gateway_api.http.openapi import document
from scigate.gateway_api.http.openapi_responses import FILE
from scigate.gateway_api.http.routes import ROUTES


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return document(ROUTES)


def test_it_is_valid_openapi_3_1(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"] == "3.1.0"
    validate(openapi)


def test_every_route_is_described(openapi: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES} | {("HEAD", FILE)}
    names = [operation["operationId"] for methods in openapi["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def test_head_of_a_file_is_its_download_without_bytes(openapi: dict[str, Any], ada: httpx.Client) -> None:
    get, head = (openapi["paths"][FILE][method] for method in ("get", "head"))
    assert set(get["responses"]) - set(head["responses"]) == {"206", "307", "416"}
    assert not any("content" in response for response in head["responses"].values())
    given = {parameter["name"] for parameter in get["parameters"]}
    assert given - {parameter["name"] for parameter in head["parameters"]} == {"Range", "If-Range"}
    answer = ada.head("/api/v1/files/lab/", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    references = set(re.findall(r"#/components/schemas/(\w+)", str(openapi)))
    assert references - set(openapi["components"]["schemas"]) == set()
    assert {"Transfer", "TransferRequest", "Entry", "ProblemDetails"} <= references


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/api/v1/storages", "/api/v1/storages"),
        ("/api/v1/storages/{name}", "/api/v1/storages/lab"),
        ("/api/v1/files/{storage}/{path}", "/api/v1/files/lab/"),
        ("/api/v1/transfers", "/api/v1/transfers"),
        ("/api/v1/status", "/api/v1/status"),
    ],
)
def test_answers_are_as_described(openapi: dict[str, Any], ada: httpx.Client, path: str, url: str) -> None:
    answer = ada.get(url)
    schema = openapi["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": openapi["components"]})
    wrong = ada.get(url, params={"nonsense": 1})
    schema = {"$ref": "#/components/schemas/ProblemDetails", "components": openapi["components"]}
    jsonschema.validate(wrong.json(), schema)


def test_it_is_served(openapi: dict[str, Any], ada: httpx.Client) -> None:
    assert ada.get("/api/v1/openapi.json").json() == openapi


class Links(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {name: value or "" for name, value in attrs}
        self.ids.update(value for name, value in given.items() if name == "id")
        self.links += [value for name, value in given.items() if name in ("href", "src", "action")]


def test_the_page_for_people_needs_nothing_else(openapi: dict[str, Any], ada: httpx.Client) -> None:
    answer = ada.get("/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    found = Links()
    found.feed(answer.text)
    assert not found.tags & {"script", "img", "link", "iframe", "form"}
    assert [link for link in found.links if link.startswith(("http", "//"))] == []
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids
    assert all(path in answer.text for path in openapi["paths"])


def test_text_in_the_page_is_text(openapi: dict[str, Any]) -> None:
    evil = {**openapi, "info": {**openapi["info"], "summary": "<script>alert(1)</script>"}}
    assert "<script" not in page(evil)
