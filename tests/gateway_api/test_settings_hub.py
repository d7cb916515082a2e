"""What a hub says in the environment of its service becomes settings."""

from __future__ import annotations

import pytest
from scigate.gateway_api.settings import Settings
from scigate.gateway_api.settings_errors import SettingsError
from scigate.gateway_api.settings_hub import with_hub

TOKEN = "t0ken-of-the-service"
ENVIRONMENT = {
    "JUPYTERHUB_SERVICE_NAME": "scigate",
    "JUPYTERHUB_API_TOKEN": TOKEN,
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/one/hub/api",
    "JUPYTERHUB_BASE_URL": "/one/",
    "JUPYTERHUB_SERVICE_PREFIX": "/one/services/scigate/",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:8110",
    "JUPYTERHUB_CLIENT_ID": "service-scigate",
}


def test_a_service_of_a_hub_knows_it_from_the_environment() -> None:
    settings = with_hub(
        Settings.parse('[hub]\napi_url = "http://x/hub/api"\napi_token = { env = "PATH" }\ncache = "2s"'), ENVIRONMENT
    )
    assert settings.hub is not None
    assert settings.hub.api_token.reveal() == TOKEN
    assert (settings.hub.api_url, settings.hub.base_url) == ("http://127.0.0.1:8081/one/hub/api", "/one/")
    assert (settings.hub.prefix, settings.hub.cache.total_seconds()) == ("/one/services/scigate/", 2)
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 8110)


def test_the_server_of_a_user_is_no_service() -> None:
    of_user = {name: value for name, value in ENVIRONMENT.items() if name != "JUPYTERHUB_SERVICE_NAME"}
    assert with_hub(Settings(), of_user) == Settings()


def test_a_hub_of_its_own_address_is_known_in_public() -> None:
    public = {**ENVIRONMENT, "JUPYTERHUB_PUBLIC_URL": "https://hub.example.org/one/services/scigate/"}
    assert with_hub(Settings(), public).gateway.public_url == "https://hub.example.org/one/services/scigate"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"JUPYTERHUB_API_TOKEN": ""}, "JUPYTERHUB_API_TOKEN is missing"),
        ({"JUPYTERHUB_API_URL": ""}, "JUPYTERHUB_API_URL is missing"),
        ({"JUPYTERHUB_API_URL": "nonsense"}, "JUPYTERHUB_API_URL: "),
        ({"JUPYTERHUB_SERVICE_URL": "http+unix://%2Frun%2Fx.sock"}, "JUPYTERHUB_SERVICE_URL"),
        ({"JUPYTERHUB_SERVICE_URL": "https://127.0.0.1:1"}, "give the service a URL such as"),
    ],
)
def test_what_is_missing_or_impossible_is_said(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        with_hub(Settings(), ENVIRONMENT | changes)
    assert said in str(wrong.value)
    assert TOKEN not in str(wrong.value)


def test_a_gateway_beside_a_hub_has_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", TOKEN)
    table = '[hub]\napi_url = "http://127.0.0.1:8081/hub/api"\napi_token = { env = "HUB_TOKEN" }\n'
    hub = Settings.parse(table).hub
    assert hub is not None
    assert (hub.prefix, hub.service_name, hub.cache.total_seconds()) == ("/services/scigate/", "scigate", 15)
    assert TOKEN not in repr(hub)
    other = Settings.parse(table + 'service_name = "data"\nbase_url = "/one/"\n').hub
    assert other is not None
    assert other.prefix == "/one/services/data/"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('cache = "60s"', "hub.cache"),
        ('cache = "0s"', "hub.cache"),
        ('base_url = "one"', "begins and ends with '/'"),
        ('service_prefix = "/x"', "begins and ends with '/'"),
        ('api_tokn = "x"', "hub.api_tokn: this key is unknown. Did you mean 'api_token'?"),
    ],
)
def test_mistakes_in_the_table_are_named(line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", TOKEN)
    table = f'[hub]\napi_url = "http://127.0.0.1:8081/hub/api"\napi_token = {{ env = "HUB_TOKEN" }}\n{line}\n'
    with pytest.raises(SettingsError) as wrong:
        Settings.parse(table)
    assert said in str(wrong.value)
