"""Rules for the code that is shipped which no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

LONGEST_FILE = 400  # lines
LONGEST_FUNCTION = 60  # lines; ten is the aim

API = "gateway_api/scigate/gateway_api"
BACKENDS = "storage_backends/scigate/storage_backends"
HUB = "hub_config/scigate/hub_config"

CATCHES_ALL = {
    f"{BACKENDS}/registry.py": "a plug-in may fail in any way; it must not take the gateway down",
    f"{BACKENDS}/testing/run.py": "what is not a StorageError is exactly what is looked for",
    f"{API}/background.py": "handed to whoever waits for the result",
    f"{API}/cli/app.py": "where every error of a command ends, as a sentence and an exit code",
    f"{API}/db/database.py": "handed to whoever gave the job; the others in the commit go on",
    f"{API}/http/events/fanout.py": "one follower's error, even a bug, must not end all others'",
    f"{API}/events/webhooks_delivery.py": "even a bug must end in the log, and never end the deliveries to others",
    f"{API}/transfers/batch.py": "one file's error, even a bug, must not touch the others",
    f"{API}/transfers/executors/local.py": "even a bug of a storage must end in the records as a cause",
    f"{API}/transfers/engine.py": "even a bug must end in the records as a cause, and never end the engine",
    "widgets/scigate/widgets/dashboard.py": "a plug-in may fail in any way; the other portlets must be there",
    "widgets/scigate/widgets/registry.py": "a plug-in may fail in any way; the other portlets must be there",
    "extension/scigate/extension/__init__.py": "why the extension cannot be imported must be said to its user",
    "extension/scigate/extension/hosting.py": "why the gateway does not start must be said to its user",
    f"{HUB}/doctor.py": "the configuration of a hub is a program: it may fail in any way",
}
"""Where ``except Exception`` is right, and why."""

PRINTS = (f"{API}/cli/", f"{API}/demo/")


def test_no_file_is_long(root: Path, modules: dict[str, ast.Module]) -> None:
    lines = {name: len((root / name).read_text().splitlines()) for name in modules}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}


def test_no_function_is_long(modules: dict[str, ast.Module]) -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, module in modules.items()
        if "/migrations/versions/" not in name  # a list of tables, written once
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_everything_is_caught_only_where_there_is_a_reason(modules: dict[str, ast.Module]) -> None:
    found = {name for name, module in modules.items() if any(_catches_all(node) for node in ast.walk(module))}
    assert found - set(CATCHES_ALL) == set(), "catch what can really happen, or give the reason in CATCHES_ALL"
    assert set(CATCHES_ALL) - found == set(), "no longer needed: take it out of CATCHES_ALL"


def test_verification_of_certificates_cannot_be_switched_off(modules: dict[str, ast.Module]) -> None:
    assert list(_found(modules, _switches_verification_off)) == []


def test_only_the_command_line_prints(modules: dict[str, ast.Module]) -> None:
    quiet = {name: module for name, module in modules.items() if not name.startswith(PRINTS)}
    assert list(_found(quiet, lambda node: isinstance(node, ast.Call) and _name(node.func) == "print")) == []


def test_nothing_is_left_for_later(root: Path, modules: dict[str, ast.Module]) -> None:
    assert [name for name in modules if re.search(r"\b(TODO|FIXME|XXX)\b", (root / name).read_text())] == []


def test_no_class_is_named_for_nothing(modules: dict[str, ast.Module]) -> None:
    classes = [node.name for module in modules.values() for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    assert [name for name in classes if name.endswith(("Manager", "Helper", "Util", "Utils", "Impl"))] == []


def test_the_rules_see_what_they_forbid() -> None:
    """The rules above would also pass if they saw nothing."""
    bad = "requests.get(u, verify=False)\nc.verify_mode = ssl.CERT_NONE\nc.check_hostname = False\n"
    assert len([node for node in ast.walk(ast.parse(bad)) if _switches_verification_off(node)]) == 3
    cleanup = "try: pass\nexcept BaseException:\n    close()\n    raise"
    assert not any(_catches_all(node) for node in ast.walk(ast.parse(cleanup)))
    for handler in ("except:", "except Exception:", "except (ValueError, BaseException) as e:"):
        assert any(_catches_all(node) for node in ast.walk(ast.parse(f"try: pass\n{handler} pass")))


def _found(modules: dict[str, ast.Module], rule: object) -> Iterator[str]:
    assert callable(rule)
    for name, module in modules.items():
        for node in ast.walk(module):
            if rule(node):
                yield f"{name}:{getattr(node, 'lineno', '?')}"


def _catches_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
        return False  # it clears up and passes the error on
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(kind is None or _name(kind) in ("Exception", "BaseException") for kind in caught)


def _switches_verification_off(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in ("verify", "check_hostname", "ssl") and _is_false(node.value)
    if isinstance(node, ast.Assign):
        named = [_name(target) for target in node.targets]
        return ("check_hostname" in named or "verify" in named) and _is_false(node.value)
    return _name(node) in ("CERT_NONE", "_create_unverified_context")


def _is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _name(node: ast.AST | None) -> str:
    """``x`` for the name x and for any attribute .x."""
    return getattr(node, "id", "") or getattr(node, "attr", "")
