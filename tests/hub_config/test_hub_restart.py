"""A hub with TLS and a base URL, started with a broken gateway, and restarted while a transfer is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scigate.hub_config.doctor import examine
from scigate.hub_config.testing import Hub


@pytest.fixture
def restarted(
    tmp_path: Path,
    require: Callable[[str], Path],
    make_hub: Callable[..., Hub],
    new_slow_web: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hub]:
    """Not started yet; its settings are broken."""
    require("traefik")
    certificate, key = _certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # for the doctor
    made = make_hub(
        tmp_path, new_slow_web.host, base_url="/jupyter/", certificate=certificate, key=key,
        options="cull_after=timedelta(hours=1),",
    )  # fmt: skip
    made.settings.write_text(made.settings.read_text().replace("state_dir", "statedir"))
    yield made
    made.stop()


@pytest.mark.long
def test_a_hub_starts_with_a_broken_gateway_and_a_restart_ends_no_transfer(restarted: Hub, new_slow_web: Any) -> None:
    hub = restarted
    hub.start()
    hub.wait(lambda: "gateway.statedir: this key is unknown" in hub.http.get(hub.gateway).text, "no reason is told")
    hub.settings.write_text(hub.settings.read_text().replace("statedir", "state_dir"))
    hub.ready()
    assert [check for check in examine(str(hub.folder / "jupyterhub_config.py")) if not check.ok] == []

    with hub.signed_in("alice") as browser:
        page = browser.get(hub.gateway)
        assert page.status_code == 200
        assert "alice" in page.text, "signed in by the hub, without a question"
    token = {"Authorization": f"Bearer {hub.token('alice')}"}
    request = {"files": [{"source": f"http://{new_slow_web.host}/file", "destination": "lab:/file"}]}
    made = hub.http.post(f"{hub.gateway}api/v1/transfers", json=request, headers=token)
    assert made.status_code == 202, made.text
    assert new_slow_web.asked.wait(60)
    hub.stop()
    hub.start()
    hub.ready()
    new_slow_web.go_on()
    url = f"{hub.gateway}api/v1/transfers/{made.json()['transfer']['id']}"
    done = hub.wait(lambda: _finished(hub.http.get(url, headers=token)), "the transfer was not gone on with")
    assert done["state"] == "DONE", done
    assert (hub.folder / "lab" / "file").read_bytes() == new_slow_web.data


def _finished(answer: httpx.Response) -> dict[str, Any] | None:
    found: dict[str, Any] = answer.raise_for_status().json()
    return found if found["finished"] else None


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return folder / "cert.pem", folder / "key.pem"
