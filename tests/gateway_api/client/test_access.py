"""Which gateway is asked, and as whom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from scigate.gateway_api.client import Gateway, NotConfigured
from scigate.gateway_api.client.access import DEFAULT_URL, check_url, find, find_token


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings or tokens of the real user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def token_file(folder: Path, text: str = "secret-token", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_arguments_win_over_the_environment() -> None:
    found = find("http://127.0.0.1:1", "a", {"SCIGATE_URL": "http://127.0.0.1:2", "SCIGATE_TOKEN": "b"})
    assert (found.url, found.token.reveal()) == ("http://127.0.0.1:1", "a")


def test_the_environment_wins_over_files(tmp_path: Path) -> None:
    (tmp_path / "scigate.toml").write_text("[gateway]\nport = 9000\n")
    env = {"SCIGATE_URL": "https://gateway.example/", "SCIGATE_TOKEN": "b"}
    assert find(env=env).url == "https://gateway.example"


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ("[gateway]\nport = 9000\n", "http://127.0.0.1:9000"),
        ('[gateway]\nhost = "::1"\n', "http://[::1]:8470"),
        ('[gateway]\nhost = "0.0.0.0"\n', "http://127.0.0.1:8470"),
        ("", DEFAULT_URL),
    ],
)
def test_the_settings_here_tell_the_address_on_this_machine(tmp_path: Path, settings: str, url: str) -> None:
    (tmp_path / "scigate.toml").write_text(settings)
    assert find(env={"SCIGATE_TOKEN": "b"}).url == url


ELSEWHERE = '[gateway]\npublic_url = "https://data.example.org/gate"\n'


def usual_settings(home: Path, text: str) -> None:
    (home / ".config" / "scigate").mkdir(parents=True)
    (home / ".config" / "scigate" / "scigate.toml").write_text(text)


@pytest.mark.parametrize("token", [None, "of-an-argument"])
def test_settings_in_the_folder_send_the_token_nowhere_else(tmp_path: Path, token: str | None) -> None:
    """Somebody else may have made the folder: a cloned repository, a shared one."""
    (tmp_path / "scigate.toml").write_text(ELSEWHERE)
    with pytest.raises(NotConfigured, match=r"https://data\.example\.org/gate") as refused:
        find(token=token, env={"SCIGATE_TOKEN": "secret-token"})
    assert str(tmp_path / "scigate.toml") in str(refused.value)
    assert "SCIGATE_URL" in str(refused.value)
    assert "secret-token" not in str(refused.value)


def test_settings_that_the_user_has_named_or_keeps_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scigate.toml").write_text(ELSEWHERE)
    named = {"SCIGATE_TOKEN": "b", "SCIGATE_CONFIG": str(tmp_path / "scigate.toml")}
    assert find(env=named).url == "https://data.example.org/gate"
    usual_settings(tmp_path, ELSEWHERE)
    assert find(env={"SCIGATE_TOKEN": "b"}).url == "https://data.example.org/gate", "both name the same"
    (tmp_path / "scigate.toml").unlink()
    assert find(env={"SCIGATE_TOKEN": "b"}).url == "https://data.example.org/gate"


@pytest.mark.parametrize(
    "other", ["https://data.example.org", "https://data.example.org/gate2", "https://evil.example"]
)
def test_a_hub_has_many_users_at_one_origin(tmp_path: Path, other: str) -> None:
    """So the path counts, too."""
    usual_settings(tmp_path, ELSEWHERE)
    (tmp_path / "scigate.toml").write_text(f'[gateway]\npublic_url = "{other}"\n')
    with pytest.raises(NotConfigured, match="only the file"):
        find(env={"SCIGATE_TOKEN": "b"})


def test_settings_that_others_can_write_choose_no_port(tmp_path: Path) -> None:
    """Another user of this machine may listen there."""
    path = tmp_path / "scigate.toml"
    path.write_text("[gateway]\nport = 9000\n")
    path.chmod(0o646)
    with pytest.raises(NotConfigured, match=r"http://127\.0\.0\.1:9000"):
        find(env={"SCIGATE_TOKEN": "b"})
    path.write_text("")
    assert find(env={"SCIGATE_TOKEN": "b"}).url == DEFAULT_URL, "where it would go without the file"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_settings_of_another_user_choose_no_port(tmp_path: Path) -> None:
    path = tmp_path / "scigate.toml"
    path.write_text("[gateway]\nport = 9000\n")
    os.chown(path, 4321, -1)
    with pytest.raises(NotConfigured, match=r"http://127\.0\.0\.1:9000"):
        find(env={"SCIGATE_TOKEN": "b"})


def test_broken_settings_are_an_error_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "scigate.toml").write_text("[gateway\n")
    with pytest.raises(NotConfigured, match=r"scigate\.toml"):
        find(env={"SCIGATE_TOKEN": "b"})


@pytest.mark.parametrize("url", ["localhost:8470", "ftp://host", "http://", "http://[::1", "http://a:b@host"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(NotConfigured) as refused:
        check_url(url)
    assert "SCIGATE_URL" in str(refused.value) or "SCIGATE_TOKEN" in str(refused.value)
    assert "a:b" not in str(refused.value)


def test_a_token_file_of_its_own(tmp_path: Path) -> None:
    path = token_file(tmp_path, "secret-token\n")
    assert find_token({"SCIGATE_TOKEN_FILE": str(path)}).reveal() == "secret-token"


def test_the_usual_token_file(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "scigate"
    folder.mkdir(parents=True)
    token_file(folder)
    assert find_token({}).reveal() == "secret-token"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, mode=mode)
    with pytest.raises(NotConfigured, match="chmod 600") as refused:
        find_token({"SCIGATE_TOKEN_FILE": str(path)})
    assert "secret-token" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", None])
def test_an_empty_or_missing_token_file_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "missing" if text is None else token_file(tmp_path, text)
    with pytest.raises(NotConfigured, match=str(path)):
        find_token({"SCIGATE_TOKEN_FILE": str(path)})


def test_without_any_token_it_says_how_to_get_one() -> None:
    with pytest.raises(NotConfigured, match="scigate token"):
        find_token({})


def test_a_token_never_goes_unencrypted_to_another_machine_in_silence() -> None:
    with pytest.warns(UserWarning, match="without encryption"):
        Gateway("http://gateway.example.org", "secret-token").close()


def test_printing_a_gateway_never_shows_the_token() -> None:
    with Gateway("http://127.0.0.1:1", "secret-token") as gateway:
        assert "secret-token" not in repr(gateway) + repr(vars(gateway)) + repr(gateway._session.access)


def test_a_notebook_of_a_hub_shows_its_token_to_the_hubs_gateway_only(tmp_path: Path) -> None:
    env = {"SCIGATE_URL": "http://127.0.0.1:1/services/scigate/", "JUPYTERHUB_API_TOKEN": "of-the-hub"}
    assert find(env=env).token.reveal() == "of-the-hub"
    assert find("http://127.0.0.1:1/services/scigate", env=env).token.reveal() == "of-the-hub"
    with pytest.raises(NotConfigured):
        find("http://127.0.0.1:2", env=env)
    with pytest.raises(NotConfigured):
        find(env={"JUPYTERHUB_API_TOKEN": "of-the-hub"})
    assert find(env={**env, "SCIGATE_TOKEN": "own"}).token.reveal() == "own"
    folder = tmp_path / ".config" / "scigate"
    folder.mkdir(parents=True)
    token_file(folder)
    assert find(env=env).token.reveal() == "secret-token"
