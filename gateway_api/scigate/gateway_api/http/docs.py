"""The API for people: one page, made from the OpenAPI document, without any script or foreign server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from typing import Any, Final

from ..gateway import Gateway
from ..policy import Rule
from .openapi import document
from .route import Answer, Call, Route

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{background:#f4f6f8;padding:.8rem;overflow:auto}
details{border:1px solid #d5dae0;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}
b.method{display:inline-block;min-width:4.5rem}table{border-collapse:collapse}td{padding:.2rem 1rem .2rem 0}
td{vertical-align:top}small{color:#59636e}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#dde3ea}pre{background:#1e242b}
details{border-color:#3a434d}small{color:#9aa5b1}a{color:#7db7ff}}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
_EXAMPLE: Final = """curl -H "Authorization: Bearer $SCIGATE_TOKEN" \\
     -H "Content-Type: application/json" -H "Idempotency-Key: $(uuidgen)" \\
     -d '{"files": [{"source": "https://example.org/data.h5", "destination": "archive:/data.h5"}]}' \\
     …/api/v1/transfers"""


def with_documents(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The table, completed by the routes that describe it."""

    @cache
    def described() -> dict[str, Any]:
        return document(table)

    def show_openapi(gateway: Gateway, call: Call) -> Answer:
        return Answer(json.dumps(described()), media_type="application/json")

    def show_docs(gateway: Gateway, call: Call) -> Answer:
        headers = {"Content-Security-Policy": _POLICY}
        return Answer(page(described()), headers=headers, media_type="text/html; charset=utf-8")

    table = (
        *routes,
        Route("GET", "/api/v1/openapi.json", Rule.USER, "This API as OpenAPI 3.1", show_openapi, "application/json",
              browser=True),
        Route("GET", "/docs", Rule.USER, "This API as a page for people", show_docs, "text/html", browser=True),
    )  # fmt: skip
    return table


def page(openapi: dict[str, Any]) -> str:
    """The document as HTML. All text is escaped: it is data here."""
    title = f"{openapi['info']['title']} API {openapi['info']['version']}"
    body = "".join([*_operations(openapi), "<h2>Resources</h2>", *_resources(openapi["components"]["schemas"])])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1><p>{escape(openapi['info']['summary'])} Send your token as "
        f'<code>Authorization: Bearer …</code>. For programs: <a href="api/v1/openapi.json">openapi.json</a>.</p>'
        f"<pre>{escape(_EXAMPLE)}</pre><h2>Requests</h2>{body}</body></html>"
    )


def _operations(openapi: dict[str, Any]) -> Iterator[str]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield (
                f'<details><summary><b class="method">{method.upper()}</b> <code>{escape(path)}</code><br>'
                f"<small>{escape(operation['summary'])}</small></summary><p>{escape(operation['description'])}</p>"
                f"{_parameters(operation)}{_bodies(operation)}</details>"
            )


def _parameters(operation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{escape(_kind(one['schema']))} "
        f"<small>{escape(one.get('description', ''))}</small></td></tr>"
        for one in operation["parameters"]
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _bodies(operation: dict[str, Any]) -> str:
    sent = operation.get("requestBody", {}).get("content", {})
    lines = [f"<p>Body: {_links(sent)}</p>"] if sent else []
    for status, response in operation["responses"].items():
        given = _links(response.get("content", {}))
        lines.append(f"<div>{escape(status)} {escape(response['description'])} {given}</div>")
    return "".join(lines)


def _links(content: dict[str, Any]) -> str:
    return ", ".join(_link(kind, one.get("schema", {})) for kind, one in content.items())


def _link(media_type: str, schema: dict[str, Any]) -> str:
    names = [one["$ref"].rpartition("/")[2] for one in [schema, *schema.get("anyOf", [])] if "$ref" in one]
    links = " or ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in names)
    return f"{links} <small>{escape(media_type)}</small>"


def _resources(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        rows = [
            f"<tr><td><code>{escape(field)}</code></td><td>{escape(_kind(one))} "
            f"<small>{escape(one.get('description', ''))}</small></td></tr>"
            for field, one in schema.get("properties", {}).items()
        ]
        values = f"<p>{escape(_kind(schema))}</p>" if "enum" in schema else ""
        yield (
            f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
            f"{values}<table>{''.join(rows)}</table>"
        )


def _kind(schema: dict[str, Any]) -> str:
    """The type of a value in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")
