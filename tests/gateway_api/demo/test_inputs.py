"""The demo's input is real, and so is the server that it comes from."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from scigate.gateway_api.demo.inputs import InputMissing, data_folder, http_server, prepare


def test_the_input_is_scientific_data_and_two_large_files(tmp_path: Path) -> None:
    written: list[int] = []
    lab = tmp_path / "lab"
    lab.mkdir()
    inputs = prepare(tmp_path, lab, 5_000_000, written.append)
    assert (inputs.large.stat().st_size, inputs.unlucky.stat().st_size) == (5_000_000, 1_250_000)
    assert sum(written) == 6_250_000
    assert (inputs.observatory / "de421.bsp").read_bytes().startswith(b"DAF/SPK")  # NAIF's format of ephemerides
    assert len(list(inputs.images.rglob("*.dcm"))) > 50
    dicom = (inputs.images / "CT_small.dcm").read_bytes()
    assert dicom[128:132] == b"DICM"  # DICOM PS3.10
    assert not list(tmp_path.rglob("*.py"))


def test_a_missing_package_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigate.gateway_api.demo.inputs.find_spec", lambda name: None)
    with pytest.raises(InputMissing, match=r"'pydicom' are not installed.*pip install scigate\[demo\]"):
        data_folder("pydicom")


def test_the_server_answers_ranges_and_has_etags(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(bytes(range(200)))
    with http_server(tmp_path) as address:
        request = urllib.request.Request(f"{address}/a.dat", headers={"Range": "bytes=10-19"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert (answer.status, answer.read()) == (206, bytes(range(10, 20)))
            assert answer.headers["Etag"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/nothing", timeout=60)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=60)
