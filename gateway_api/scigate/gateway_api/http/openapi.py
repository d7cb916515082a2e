"""The OpenAPI 3.1 document, made from the route table and the models; nothing is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from ..policy import Rule
from .examples import EXAMPLES, Example, answers
from .openapi_responses import BODYLESS, FILE, headers, other_statuses, phrase, refusals
from .route import Route

_REF: Final = "#/components/schemas/"
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": f"{_REF}ProblemDetails"}}}
_BINARIES: Final = frozenset({"application/octet-stream", "application/zip", "application/x-tar"})
_OF_RANGES: Final = frozenset({"Range", "If-Range"})
_WITH_BYTES: Final = frozenset({"206", "307", "416"})
"""Answers to GET alone."""
_WHO: Final = {
    Rule.ANYONE: "Needs no token.",
    Rule.USER: "Needs a token.",
    Rule.STORAGE_READ: "For users of the storage; to others it does not exist.",
    Rule.STORAGE_WRITE: "For users of the storage, if it is not read-only.",
    Rule.TRANSFER: "For the owner of the transfer; to others it does not exist.",
    Rule.UPLOAD: "For the owner of the upload; to others it does not exist.",
    Rule.WEBHOOK: "For the owner of the webhook; to others it does not exist.",
    Rule.ADMIN: "For admins.",
}


class ErrorOfField(BaseModel):
    """What is wrong with one field of the body, or one parameter."""

    message: str
    pointer: str | None = Field(default=None, description="JSON pointer into the body (RFC 6901)")
    parameter: str | None = Field(default=None, description="query parameter")
    next_step: str | None = None


class ProblemDetails(BaseModel):
    """An error (RFC 9457): what happened, whether trying again can help, what to do."""

    type: str = Field(description="stable; ends in 'code'")
    title: str
    status: int
    detail: str
    instance: str | None = None
    code: str
    retriable: bool
    next_step: str
    errors: list[ErrorOfField] | None = None


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = list(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
        if (route.method, route.path) == ("GET", FILE):
            paths[route.path]["head"] = _head(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SciGate",
            "version": version("scigate"),
            "summary": "One storage API in front of any storage; every byte accounted for.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def operation_id(route: Route) -> str:
    """A name that clients generated from the document can call."""
    words = [word.strip("{}") for word in route.path.removeprefix("/api/v1").split("/") if word]
    return "_".join([route.method.lower(), *(word.replace(".", "_") for word in words)])


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": _WHO[route.rule],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content([route.body, *route.other_bodies])}
    _add_example(route, operation)
    if route.rule is Rule.ANYONE:
        operation["security"] = []
    return operation


def _head(route: Route) -> dict[str, Any]:
    """HEAD for a GET: what that answers, without the bytes, so without ranges (RFC 9110 sections 9.3.2 and 14.2)."""
    operation = _operation(replace(route, headers={name: text for name, text in route.headers.items()
                                                   if name not in _OF_RANGES}))  # fmt: skip
    responses = {code: {name: value for name, value in response.items() if name != "content"}
                 for code, response in operation["responses"].items() if code not in _WITH_BYTES}  # fmt: skip
    name, summary = operation_id(replace(route, method="HEAD")), "The headers of a download, without the bytes"
    return {**operation, "operationId": name, "summary": summary, "responses": responses}


def _add_example(route: Route, operation: dict[str, Any]) -> None:
    """The request of ``examples`` and what was answered to it. Routes of plug-ins may have none."""
    example = EXAMPLES.get((route.method, route.path), Example())
    values = {"path": example.path, "query": example.query, "header": example.headers}
    for parameter in operation["parameters"]:
        if parameter["name"] in values[parameter["in"]]:
            parameter["example"] = _typed(values[parameter["in"]][parameter["name"]], parameter["schema"])
    if example.body is not None:
        kind = route.body if isinstance(route.body, str) else "application/json"
        operation["requestBody"]["content"][kind]["example"] = example.body
    answer = answers().get(f"{route.method} {route.path}")
    content = operation["responses"][str(route.status)].get("content", {})
    if answer is not None and content:
        content["application/json" if "application/json" in content else next(iter(content))]["example"] = answer


def _typed(text: str, schema: dict[str, Any]) -> Any:
    """A parameter as what it is, where it stands in a document and not in a URL."""
    return int(text) if schema.get("type") == "integer" else text


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    notes = {"path": "path below the root of the storage, slashes as they are, everything else percent-encoded"}
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        | ({"description": notes[name]} if name in notes else {})
        for name in route.parameters
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schema = route.query.model_json_schema()
    found = []
    for name, field in schema.get("properties", {}).items():
        reference = field.get("$ref", "").rpartition("/")[2]
        plain = schema["$defs"][reference] if reference else _inlined(field, schema)
        described = {"description": field["description"]} if "description" in field else {}
        found.append({"name": name, "in": "query", "required": False, "schema": plain, **described})
    return found


def _inlined(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """An optional parameter is left out, so null is not one of its values; references are written out."""
    choices = [choice for choice in field.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) != 1:
        return field
    reference = choices[0].get("$ref", "").rpartition("/")[2]
    inlined: dict[str, Any] = schema["$defs"][reference] if reference else choices[0]
    return inlined


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in route.headers.items()
    ]


def _responses(route: Route) -> dict[str, Any]:
    answers = [answer for answer in (route.answer, *route.other_answers) if answer is not None]
    found: dict[str, Any] = {}
    for status in (route.status, *other_statuses(route)):
        content = {} if status in BODYLESS or not answers else {"content": _content(answers)}
        found[str(status)] = {"description": phrase(status), **content}
    for status in refusals(route):
        found[str(status)] = {"description": phrase(status), "content": _PROBLEM}
    for code, response in found.items():
        if known := headers(route, int(code)):
            response["headers"] = known
    return found


def _content(kinds: Iterable[type[BaseModel] | str]) -> dict[str, Any]:
    kinds = list(kinds)
    models = [{"$ref": _REF + _name(kind)} for kind in kinds if not isinstance(kind, str)]
    content: dict[str, Any] = {kind: _BINARY if kind in _BINARIES else {}
                               for kind in kinds if isinstance(kind, str)}  # fmt: skip
    if models:
        content["application/json"] = {"schema": models[0] if len(models) == 1 else {"anyOf": models}}
    return content


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    kinds: dict[type[BaseModel], str] = {ProblemDetails: "serialization"}
    for route in routes:
        for kind in (route.answer, *route.other_answers):
            if inspect.isclass(kind):
                kinds[kind] = "serialization"
        if inspect.isclass(route.body):
            kinds[route.body] = "validation"
    schema = models_json_schema(list(kinds.items()), ref_template=_REF + "{model}")[1]  # type: ignore[arg-type]
    found: dict[str, Any] = schema["$defs"]
    return found


def _name(kind: type[BaseModel]) -> str:
    """As pydantic names it among the definitions: ``Page[Entry]`` is ``Page_Entry_``."""
    return kind.__name__.replace("[", "_").replace("]", "_")
