"""The file system's promises: one version is read, a file is written whole or not at all, with the caller's rights."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from datetime import timedelta
from pathlib import Path
from shutil import SameFileError
from typing import Any

import fsspec
import h5py
import httpx
import pytest
from fsspec.config import conf
from scigate.gateway_api.client.filesystem import ScigateFileSystem
from scigate.gateway_api.client.os_errors import FileChanged
from scigate.gateway_api.client.remote_file import BLOCK

MiB = 1 << 20


def test_it_is_found_by_its_scheme() -> None:
    assert fsspec.get_filesystem_class("scigate") is ScigateFileSystem
    with fsspec.open("scigate://lab/by-scheme.txt", "w") as file:
        file.write("ü\n")
    assert fsspec.filesystem("scigate").cat_file("scigate://lab/by-scheme.txt") == "ü\n".encode()


# Looking


def test_listing_and_describing(fs: ScigateFileSystem, place: str) -> None:
    for name in ("a.txt", "folder/b.txt", "folder/deep/c.txt"):
        fs.pipe_file(f"{place}/{name}", name.encode())
    assert fs.ls(place, detail=False) == [f"{place}/a.txt", f"{place}/folder"]
    assert fs.ls(f"scigate://{place}/a.txt", detail=False) == [f"{place}/a.txt"]
    assert fs.find(place) == [f"{place}/a.txt", f"{place}/folder/b.txt", f"{place}/folder/deep/c.txt"]
    assert fs.find(f"{place}/a.txt") == [f"{place}/a.txt"]
    assert fs.find(place, withdirs=True)[:3] == [place, f"{place}/a.txt", f"{place}/folder"]
    assert fs.find(f"{place}/none") == []
    assert fs.glob(f"{place}/**/*.txt") == fs.find(place)
    assert fs.du(place) == len("a.txt" + "folder/b.txt" + "folder/deep/c.txt")
    assert fs.isdir(f"{place}/folder")
    assert fs.isfile(f"{place}/folder/b.txt")
    assert not fs.exists(f"{place}/none")
    info = fs.info(f"{place}/a.txt")
    assert (info["size"], info["type"]) == (5, "file")
    assert info["etag"]
    assert fs.modified(f"{place}/a.txt").tzinfo is not None
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{place}/none")
    with pytest.raises(NotImplementedError):
        fs.created(f"{place}/a.txt")


def test_the_storages_are_the_root(fs: ScigateFileSystem) -> None:
    assert fs.ls("", detail=False) == ["archive", "cloud", "direct", "frozen", "lab", "mem"]
    assert fs.isdir("lab")
    assert not fs.exists("hidden")
    assert not fs.exists("hidden/file")
    assert not fs.exists("No_Storage/../x")


def test_many_files_come_in_pages(fs: ScigateFileSystem, service: Any) -> None:
    folder = service.files("lab") / "many"
    folder.mkdir()
    for number in range(1203):
        (folder / f"{number:04}").touch()
    assert len(fs.ls("lab/many", detail=False)) == 1203
    assert len(fs.find("lab/many")) == 1203


def test_names_that_are_not_utf_8(fs: ScigateFileSystem, service: Any) -> None:
    folder = os.fsencode(service.files("lab")) + b"/bytes"
    os.mkdir(folder)
    with open(folder + b"/caf\xe9", "wb") as file:
        file.write(b"here")
    (name,) = fs.ls("lab/bytes", detail=False)
    assert fs.cat_file(name) == b"here"


def test_ukey_and_checksum_change_with_the_content(fs: ScigateFileSystem, place: str) -> None:
    fs.pipe_file(f"{place}/a", b"1")
    before = fs.ukey(f"{place}/a"), fs.checksum(f"{place}/a")
    assert before == (fs.ukey(f"{place}/a"), fs.checksum(f"{place}/a"))
    fs.pipe_file(f"{place}/a", b"2")
    assert fs.ukey(f"{place}/a") != before[0]
    assert fs.checksum(f"{place}/a") != before[1]


# Reading


def test_parts_of_a_file(fs: ScigateFileSystem, place: str) -> None:
    data = os.urandom(3 * BLOCK + 17)
    fs.pipe_file(f"{place}/a", data)
    assert fs.cat_file(f"{place}/a") == data
    for start, end in ((0, 10), (5, None), (None, -5), (-10, None), (BLOCK - 1, BLOCK + 1), (7, 7), (10, 5)):
        assert fs.cat_file(f"{place}/a", start, end) == data[start:end]
    assert fs.cat_file(f"{place}/a", len(data), len(data) + 5) == b""
    ranges = [(0, 4), (BLOCK, BLOCK + 4), (-4, None), (len(data) - 2, len(data) + 100)]
    found = fs.cat_ranges([f"{place}/a"] * 4, [a for a, _ in ranges], [b for _, b in ranges])
    assert found == [data[a:b] for a, b in ranges]
    assert isinstance(fs.cat_ranges([f"{place}/none"], 0, 4)[0], FileNotFoundError)
    with fs.open(f"{place}/a") as file:
        file.seek(-17, io.SEEK_END)
        assert file.read() == data[-17:]
        file.seek(2 * BLOCK - 3)
        assert file.read(6) == data[2 * BLOCK - 3 : 2 * BLOCK + 3]
        file.seek(0)
        assert file.read() == data


def test_a_storage_to_which_clients_are_sent(fs: ScigateFileSystem, tmp_path: Path) -> None:
    data = os.urandom(BLOCK + 5)
    fs.pipe_file("direct/a", data)
    with httpx.Client(timeout=60) as anybody:
        assert anybody.get(fs.sign("direct/a")).content == data
    with fs.open("direct/a") as file:
        assert file.read() == data
    assert fs.cat_file("direct/a") == data
    fs.get_file("direct/a", str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == data


def test_an_empty_file(fs: ScigateFileSystem, place: str) -> None:
    fs.touch(f"{place}/empty")
    assert fs.cat_file(f"{place}/empty") == b""
    assert fs.cat_file(f"{place}/empty", 0, 5) == b""
    with fs.open(f"{place}/empty") as file:
        assert file.read() == b""


@pytest.mark.parametrize("same_size", [True, False])
def test_a_file_that_is_replaced_under_its_reader(fs: ScigateFileSystem, place: str, same_size: bool) -> None:
    fs.pipe_file(f"{place}/a", b"1" * (2 * BLOCK))
    with fs.open(f"{place}/a") as file:
        assert file.read(10) == b"1" * 10
        fs.pipe_file(f"{place}/a", b"2" * (2 * BLOCK if same_size else 5))
        assert file.read(10) == b"1" * 10  # what has been read ahead is still of the version that was opened
        file.seek(-10, io.SEEK_END)
        with pytest.raises(FileChanged) as caught:
            file.read()
    assert caught.value.errno == errno.ESTALE


def test_a_reader_that_travels_reads_the_same_version(fs: ScigateFileSystem, place: str) -> None:
    fs.pipe_file(f"{place}/a", bytes(range(256)))
    with fs.open(f"{place}/a") as file:
        file.seek(100)
        there = pickle.loads(pickle.dumps(file))
        assert there.read(2) == b"de"
        late = pickle.dumps(file)
    fs.pipe_file(f"{place}/a", b"z" * 256)
    with pytest.raises(FileChanged):
        pickle.loads(late).read()


def test_a_download_is_whole(fs: ScigateFileSystem, place: str, tmp_path: Path) -> None:
    data = os.urandom(5 * MiB)
    fs.pipe_file(f"{place}/a", data)
    seen = fsspec.callbacks.Callback()
    fs.get_file(f"{place}/a", str(tmp_path / "new" / "a"), callback=seen)
    assert (tmp_path / "new" / "a").read_bytes() == data
    assert (seen.value, seen.size) == (len(data), len(data))
    assert os.listdir(tmp_path / "new") == ["a"]


# Writing


def test_a_new_file_is_there_when_it_is_closed_and_not_before(fs: ScigateFileSystem, place: str) -> None:
    with fs.open(f"{place}/new", "wb") as file:
        file.write(b"12")
        file.flush()
        assert not fs.exists(f"{place}/new")
        file.write(b"3")
    assert fs.cat_file(f"{place}/new") == b"123"
    fs.put_file(__file__, f"{place}/new")
    assert fs.cat_file(f"{place}/new") == Path(__file__).read_bytes()


@pytest.mark.parametrize("mode", ["wb", "w"])
@pytest.mark.parametrize("through", ["filesystem", "fsspec.open", "close in finally"])
def test_a_file_whose_writer_fails_is_not_there(fs: ScigateFileSystem, place: str, mode: str, through: str) -> None:
    def write(file: Any) -> None:
        file.write(b"half" if "b" in mode else "half")
        raise ZeroDivisionError

    def run() -> None:
        if through == "filesystem":
            with fs.open(f"{place}/new", mode) as file:
                write(file)
        elif through == "fsspec.open":
            with fsspec.open(f"scigate://{place}/new", mode) as file:
                write(file)
        else:
            file = fs.open(f"{place}/new", mode)
            try:
                write(file)
            finally:
                file.close()

    fs.pipe_file(f"{place}/new", b"before")
    if (through, mode) == ("filesystem", "wb"):
        with pytest.raises(ZeroDivisionError):
            run()
    else:
        with pytest.warns(UserWarning, match="not stored"), pytest.raises(ZeroDivisionError):
            run()
    assert fs.cat_file(f"{place}/new") == b"before"


def test_a_file_written_while_an_older_error_is_handled_is_stored(fs: ScigateFileSystem, place: str) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        with fs.open(f"{place}/report", "w") as file:
            file.write("it went wrong")
    assert fs.cat_file(f"{place}/report") == b"it went wrong"


def test_a_file_that_is_never_closed_is_not_there(fs: ScigateFileSystem, place: str) -> None:
    file = fs.open(f"{place}/forgotten", "wb")
    file.write(b"x")
    with pytest.warns(ResourceWarning, match="never closed"):
        del file
    assert not fs.exists(f"{place}/forgotten")


def test_a_transaction_delivers_at_its_end_or_nothing(fs: ScigateFileSystem, place: str) -> None:
    with fs.transaction, fs.open(f"{place}/a", "wb") as file:
        file.write(b"a")
        file.close()
        assert not fs.exists(f"{place}/a")
    assert fs.cat_file(f"{place}/a") == b"a"
    with pytest.raises(ZeroDivisionError), fs.transaction:
        with fs.open(f"{place}/b", "wb") as file:
            file.write(b"b")
        raise ZeroDivisionError
    assert not fs.exists(f"{place}/b")


def test_formats_that_move_about_while_writing(fs: ScigateFileSystem, place: str) -> None:
    with fs.open(f"{place}/a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside.txt", "in")
    with fs.open(f"{place}/a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("inside.txt") == b"in"
    with fs.open(f"{place}/a.h5", "wb") as file, h5py.File(file, "w") as written:
        written["run/7"] = list(range(1000))
    with fs.open(f"{place}/a.h5") as file, h5py.File(file) as read:
        assert read["run/7"][999] == 999


def test_two_writers_of_a_new_file_one_wins(fs: ScigateFileSystem, place: str) -> None:
    files = [fs.open(f"{place}/x", "xb") for _ in range(2)]
    for number, file in enumerate(files):
        file.write(str(number).encode())
    files[0].close()
    with pytest.raises(FileExistsError, match="Choose another name"):
        files[1].close()
    assert fs.cat_file(f"{place}/x") == b"0"


def test_what_cannot_be_done_is_said_at_once(fs: ScigateFileSystem) -> None:
    with pytest.raises(PermissionError, match="read-only"):
        fs.open("frozen/new", "wb")
    with pytest.raises(PermissionError, match="read-only"):
        fs.rm("frozen/ice")
    with pytest.raises(FileNotFoundError):
        fs.open("hidden/new", "wb")
    with pytest.raises(IsADirectoryError):
        fs.open("lab", "wb")
    with pytest.raises(NotImplementedError, match="whole"):
        fs.open("lab/new", "ab")
    fs.makedirs("lab/a-folder", exist_ok=True)
    with pytest.raises(IsADirectoryError):
        fs.open("lab/a-folder")
    with pytest.raises(FileNotFoundError):
        fs.sign("lab/none")
    fs.pipe_file("lab/unsigned", b"x")
    with pytest.raises(NotImplementedError):
        fs.sign("lab/unsigned")


def test_writing_where_a_folder_is_fails_with_its_cause(fs: ScigateFileSystem) -> None:
    fs.makedirs("lab/taken", exist_ok=True)
    with pytest.raises(OSError, match="taken"):
        fs.pipe_file("lab/taken", b"x")
    assert fs.isdir("lab/taken")


# Copying, moving, removing


def test_copies_between_storages(fs: ScigateFileSystem, tmp_path: Path) -> None:
    name = tmp_path.name
    fs.pipe_file(f"lab/{name}/run/a", b"a")
    fs.pipe_file(f"lab/{name}/run/deep/b", b"b")
    fs.copy(f"lab/{name}/run", f"cloud/{name}/", recursive=True)
    assert fs.cat(f"cloud/{name}/run", recursive=True) == {
        f"cloud/{name}/run/a": b"a", f"cloud/{name}/run/deep/b": b"b"
    }  # fmt: skip


def test_moves(fs: ScigateFileSystem, place: str) -> None:
    fs.pipe_file(f"{place}/a", b"new")
    fs.pipe_file(f"{place}/b", b"old")
    fs.mv(f"{place}/a", f"{place}/b")
    assert fs.find(place) == [f"{place}/b"]
    assert fs.cat_file(f"{place}/b") == b"new"
    fs.pipe_file(f"{place}/run/deep/c", b"c")
    fs.mv(f"{place}/run", f"{place}/moved", recursive=True)
    assert fs.find(place) == [f"{place}/b", f"{place}/moved/deep/c"]
    assert not fs.exists(f"{place}/run")
    other = place.replace("lab/", "CLOUD/").replace("cloud/", "lab/").replace("CLOUD/", "cloud/")
    fs.mv(f"{place}/moved", f"{other}/there", recursive=True)
    assert fs.cat_file(f"{other}/there/deep/c") == b"c"
    assert not fs.exists(f"{place}/moved")
    with pytest.raises(FileNotFoundError):
        fs.mv(f"{place}/none", f"{place}/b")
    assert fs.cat_file(f"{place}/b") == b"new"


def test_a_file_is_not_moved_onto_itself_by_another_name_of_its_storage(fs: ScigateFileSystem, tmp_path: Path) -> None:
    fs.pipe_file(f"direct/{tmp_path.name}", b"the only copy")
    with pytest.raises(SameFileError, match="Nothing was moved"):
        fs.mv(f"direct/{tmp_path.name}", f"cloud/direct/{tmp_path.name}")
    assert fs.cat_file(f"direct/{tmp_path.name}") == b"the only copy"


def test_removing(fs: ScigateFileSystem, place: str) -> None:
    for number in range(10):
        fs.pipe_file(f"{place}/tree/{number % 3}/{number}", b"x")
    fs.makedirs(f"{place}/tree/empty")
    with pytest.raises(OSError, match="tree"):
        fs.rm(f"{place}/tree")
    assert len(fs.find(place)) == 10
    fs.rm(f"{place}/tree", recursive=True)
    assert not fs.exists(f"{place}/tree")
    with pytest.raises(FileNotFoundError):
        fs.rm(f"{place}/tree")


def test_folders(fs: ScigateFileSystem, place: str) -> None:
    fs.makedirs(f"{place}/a/b")
    assert fs.isdir(f"{place}/a/b")
    with pytest.raises(FileExistsError):
        fs.mkdir(f"{place}/a")
    fs.makedirs(f"{place}/a", exist_ok=True)
    fs.rmdir(f"{place}/a/b")
    fs.makedirs("mem/no/folders/here", exist_ok=True)  # nothing to make there, as with s3fs
    fs.pipe_file("mem/no/folders/here/a", b"a")
    assert fs.ls("mem/no/folders/here", detail=False) == ["mem/no/folders/here/a"]


# Who asks


def test_the_token_does_not_travel_unless_it_was_given(
    fs: ScigateFileSystem, environment: dict[str, str], service: Any
) -> None:
    token = environment["SCIGATE_TOKEN"]
    fs.ls("")
    for state in (pickle.dumps(fs), repr(fs).encode(), fs.to_json().encode(), str(fs._fs_token).encode()):
        assert token.encode() not in state
    given = ScigateFileSystem(url=service.url, token=token)
    given.ls("")
    for text in (repr(given), given._fs_token, given.to_json(include_password=False), str(list(given._cache))):
        assert token not in text
    assert pickle.loads(pickle.dumps(given)).ls("") == given.ls("")


def test_another_process_finds_its_own_access(
    fs: ScigateFileSystem, place: str, environment: dict[str, str], service: Any, tmp_path: Path
) -> None:
    fs.pipe_file(f"{place}/a", b"data")
    (tmp_path / "fs").write_bytes(pickle.dumps(fs))
    program = "import pickle,sys; print(pickle.load(open(sys.argv[1],'rb')).exists(sys.argv[2]))"
    said = {}
    for user, path in (("ada", f"{place}/a"), ("bo", f"{place}/a"), ("ada", "hidden"), ("root", "hidden")):
        command = [sys.executable, "-c", program, str(tmp_path / "fs"), path]
        done = subprocess.run(command, env=service.environment(user), capture_output=True, text=True, check=True)
        said[user, path] = done.stdout.strip()
    assert said == {("ada", f"{place}/a"): "True", ("bo", f"{place}/a"): "True", ("ada", "hidden"): "False",
                    ("root", "hidden"): "True"}  # fmt: skip


def test_after_a_change_of_user_nobody_gets_the_others_file_system(
    fs: ScigateFileSystem, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ScigateFileSystem() is fs
    monkeypatch.setenv("SCIGATE_TOKEN", service.environment("root")["SCIGATE_TOKEN"])
    assert ScigateFileSystem() is not fs
    assert ScigateFileSystem().exists("hidden")
    assert not fs.exists("hidden")


def test_a_forked_process_has_its_own_connection(fs: ScigateFileSystem, place: str) -> None:
    fs.pipe_file(f"{place}/a", b"data")
    before = fs.gateway
    fs._connected = (os.getpid() - 1, before)  # as a child sees what its parent left
    assert fs.gateway is not before
    assert fs.cat_file(f"{place}/a") == b"data"


def test_without_a_token_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCIGATE_TOKEN")
    with pytest.raises(PermissionError, match="scigate token"):
        ScigateFileSystem().ls("")


def test_an_address_that_is_none_is_no_question_of_rights() -> None:
    with pytest.raises(OSError, match="SCIGATE_URL") as raised:
        ScigateFileSystem(url="here", token="t" * 20).ls("")
    assert raised.value.errno == errno.EINVAL


def test_a_gateway_that_does_not_answer_is_never_an_empty_folder(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setattr("scigate.gateway_api.client.filesystem_reading.PATIENCE", timedelta(0))
    monkeypatch.setenv("SCIGATE_URL", f"http://127.0.0.1:{free_port}")
    alone = ScigateFileSystem()
    for ask in (alone.exists, alone.isdir, alone.find, lambda path: list(alone.walk(path)), alone.ls):
        with pytest.raises(OSError, match="does not answer"):
            ask("lab/x")


def test_settings_of_fsspec_work(monkeypatch: pytest.MonkeyPatch, service: Any, environment: dict[str, str]) -> None:
    monkeypatch.delenv("SCIGATE_TOKEN")
    monkeypatch.setitem(conf, "scigate", {"url": service.url, "token": environment["SCIGATE_TOKEN"]})
    assert "lab" in fsspec.filesystem("scigate").ls("", detail=False)


def test_many_threads_share_a_file_system(fs: ScigateFileSystem, place: str) -> None:
    fs.pipe_file(f"{place}/a", b"data")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(fs.cat_file(f"{place}/a"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"data"] * 16


def test_it_can_be_described_as_json(fs: ScigateFileSystem) -> None:
    described = json.loads(fs.to_json())
    assert described["cls"].endswith(":ScigateFileSystem")
    assert "token" not in described
