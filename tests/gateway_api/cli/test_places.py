"""What the words on the command line name."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from scigate.gateway_api.cli.cp import OVERWRITE, VERIFY
from scigate.gateway_api.cli.places import Kind, Place, read_place
from scigate.gateway_api.cli.transfers import STATES
from scigate.gateway_api.resources import Overwrite, TransferState, Verify


@pytest.mark.parametrize("text", ["a", "./lab:/x", "../a", "/a/b", ".", "..", "a b", "here:and there", "x/y:z/w"])
def test_files_of_this_machine(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here:and there").write_text("")
    (tmp_path / "x" / "y:z").mkdir(parents=True)
    (tmp_path / "x" / "y:z" / "w").write_text("")
    assert read_place(text) == Place(Kind.HERE, text)


@pytest.mark.parametrize("text", ["lab:/", "lab:/x", "demo-s3:/a b/c", "a1:/x:y"])
def test_locations(text: str) -> None:
    assert read_place(text).kind is Kind.STORAGE


@pytest.mark.parametrize("text", ["http://h/x", "https://h/x?y=z", "HTTPS://h/x"])
def test_urls(text: str) -> None:
    assert read_place(text).kind is Kind.URL


@pytest.mark.parametrize(
    ("text", "advice"),
    [("s3://bucket/x", "http://"), ("ftp://h/x", "ftp://"), ("lab:x", "lab:/x"), ("Lab:/x", "./Lab:/x")],
)
def test_what_is_close_but_wrong_says_how_to_write_it(text: str, advice: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        read_place(text)
    assert advice in raised.value.message


def test_the_home_folder_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert read_place("~/x").text == "/home/ada/x"


def test_the_choices_are_those_of_the_api() -> None:
    """They are written out in the commands so that ``--help`` need not import the API."""
    assert list(Overwrite) == OVERWRITE
    assert list(Verify) == VERIFY
    assert [state.lower() for state in TransferState] == STATES
