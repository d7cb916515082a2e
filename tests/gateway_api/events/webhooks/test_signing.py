"""Secrets of webhooks: derived from one key, which is kept where nobody else can read it."""

from __future__ import annotations

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scigate.gateway_api.events.webhooks_signing import FILE_NAME, MasterKey, master_key, signed
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.settings_errors import SettingsError
from scigate.storage_backends.credential import Secret

KEY = MasterKey(Secret("k" * 40))


def test_the_example_of_the_specification() -> None:
    """The test vector that implementations of Standard Webhooks 1.0 share."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_webhook_has_its_own_secret() -> None:
    one, other = KEY.shown("a" * 32), KEY.shown("b" * 32)
    assert one != other
    assert one == MasterKey(Secret("k" * 40)).shown("a" * 32), "the same over restarts"
    assert one != MasterKey(Secret("l" * 40)).shown("a" * 32)
    assert 24 <= len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) <= 64, "as the specification asks"


def test_the_name_of_a_key_gives_nothing_away() -> None:
    assert KEY.name != MasterKey(Secret("l" * 40)).name
    assert KEY.name not in KEY.signing_key("a").hex()
    assert "kkkk" not in repr(KEY)


def test_a_key_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    first = master_key(tmp_path, None)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert len((tmp_path / FILE_NAME).read_text().strip()) == 64
    assert master_key(tmp_path, None).name == first.name
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_two_that_begin_at_once_take_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: master_key(tmp_path, None).name, range(32)))
    assert len(names) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_the_key_of_the_settings_counts(tmp_path: Path) -> None:
    assert master_key(tmp_path, Secret("k" * 40)).name == KEY.name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    master_key(tmp_path, None)
    (tmp_path / FILE_NAME).chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        master_key(tmp_path, None)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe" * 40])
def test_what_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=FILE_NAME):
        master_key(tmp_path, None)
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("e" * 64)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="cannot be read"):
        master_key(tmp_path, None)


def test_a_short_key_in_the_settings_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_KEY", "only-a-few-characters")
    with pytest.raises(SettingsError, match="openssl rand -hex 32") as refused:
        Settings.parse('[gateway]\nsecret_key = { env = "SHORT_KEY" }\n')
    assert "only-a-few" not in str(refused.value)
