from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pandas as pd
import pytest

from gcamccl_core.data import downloads, external_files, manifest
from gcamccl_core.data.external_files import ExternalFile, ManifestError, read_manifest
from gcamccl_core.data.manifest import UnavailableError, fetch, main, verify
from gcamccl_core.disk_faults import StorageError

BY_HAND = ("gtex", "kegg", "gene_ontology_2019")  # and not yet had by us: no checksum
CONTENT = b"chromosome start end symbol\n" * 50


def describe(name: str, content: bytes = CONTENT, address: str | None = None) -> ExternalFile:
    return ExternalFile(
        name=name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        address=address,
        collection="genes",
        purpose="a test",
        licence="CC0",
        access="open",
        citation="nobody",
        derived="" if address else "Cut from something larger.",
    )


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, alone: Path) -> dict[str, ExternalFile]:
    """A manifest to fill, no mirror, an empty cache."""
    files: dict[str, ExternalFile] = {}
    monkeypatch.setattr(manifest, "read_manifest", lambda: files)
    return files


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "genes").mkdir(parents=True)
    monkeypatch.setenv("GCAMCCL_MIRROR", str(folder))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine: its address and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


def test_every_entry_is_complete_and_pinned() -> None:
    files = read_manifest()
    assert len(files) > 200
    for file in files.values():
        if file.collection not in BY_HAND:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256), file.name
            assert file.size > 0
        assert file.access in external_files.ACCESS_CLASSES
        assert file.licence
        assert file.citation
        assert file.purpose
        if file.address is None:
            assert file.derived or file.how, f"{file.name} has neither an address nor a word on how it is to be had"
        else:
            assert re.search("/[0-9a-f]{40}/", file.address), f"{file.address} is not pinned to a commit"
            assert file.address.endswith(file.name.rsplit("/", 1)[-1])


@pytest.mark.shared_data
def test_manifest_says_what_the_mirror_says(mirror) -> None:
    files = read_manifest()
    sources = pd.read_csv(mirror("sources.csv"), keep_default_na=False).set_index("file")
    assert {name for name, file in files.items() if file.collection not in BY_HAND} == set(sources.index)
    for name, source in sources.iterrows():
        assert (files[name].size, files[name].sha256) == (source["bytes"], source["sha256"])
        if source["kind"] == "original":
            where = f"/{source['github_repository']}/{source['commit']}/{source['path']}"
            assert files[name].address is not None
            assert files[name].address.endswith(where)


@pytest.mark.shared_data
def test_mirror_is_whole(mirror) -> None:
    mirror("abide/aseg_table.tsv")
    elsewhere = ("abide_connectivity", *BY_HAND)
    table = verify(name for name, file in read_manifest().items() if file.collection not in elsewhere)
    assert set(table["status"]) == {"present"}
    assert set(table["where"]) == {"mirror"}


def test_mirror_comes_before_cache_and_address(known, mirrored, alone) -> None:
    known["genes/list"] = describe("genes/list", address="http://127.0.0.1:9/never")
    (mirrored / "genes/list").write_bytes(CONTENT)
    (alone / "genes").mkdir(parents=True)
    (alone / "genes/list").write_bytes(CONTENT)
    assert fetch("genes/list") == mirrored / "genes/list"
    (mirrored / "genes/list").unlink()
    assert fetch("genes/list") == alone / "genes/list"


def test_download_is_verified_and_kept(known, alone, server) -> None:
    address, folder = server
    (folder / "list").write_bytes(CONTENT)
    known["genes/list"] = describe("genes/list", address=f"{address}/list")
    path = fetch("genes/list")
    assert path == alone / "genes/list"
    assert path.read_bytes() == CONTENT
    (folder / "list").unlink()
    assert fetch("genes/list") == path


def test_altered_download_names_file_and_both_hashes(known, alone, server) -> None:
    address, folder = server
    (folder / "list").write_bytes(CONTENT[::-1])
    known["genes/list"] = describe("genes/list", address=f"{address}/list")
    with pytest.raises(ManifestError, match="genes/list") as caught:
        fetch("genes/list")
    assert known["genes/list"].sha256 in str(caught.value)
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in str(caught.value)
    assert not (alone / "genes/list").exists()


def test_no_network_says_what_to_do(known) -> None:
    known["genes/list"] = describe("genes/list", address="http://127.0.0.1:9/list")
    with pytest.raises(UnavailableError, match=r"genes/list.*GCAMCCL_MIRROR"):
        fetch("genes/list")


def test_derived_file_says_how_it_was_made(known) -> None:
    known["genes/list"] = describe("genes/list")
    with pytest.raises(UnavailableError, match=r"genes/list.*Cut from something larger"):
        fetch("genes/list")


@pytest.mark.parametrize(
    ("content", "fault"),
    [(CONTENT[:-7], "truncated: 1393 bytes instead of 1400"), (CONTENT[::-1], "SHA-256"), (CONTENT * 2, "too long")],
)
def test_corrupt_copy_is_an_error_that_names_it(known, mirrored, content, fault) -> None:
    known["genes/list"] = describe("genes/list", address="http://127.0.0.1:9/never")
    (mirrored / "genes/list").write_bytes(content)
    with pytest.raises(ManifestError, match=f"genes/list.*{fault}") as caught:
        fetch("genes/list")
    assert str(mirrored) in str(caught.value)


def test_altered_copy_names_both_hashes(known, mirrored) -> None:
    known["genes/list"] = describe("genes/list")
    (mirrored / "genes/list").write_bytes(CONTENT[::-1])
    expected, found = (hashlib.sha256(content).hexdigest() for content in (CONTENT, CONTENT[::-1]))
    with pytest.raises(ManifestError, match=f"{found} instead of {expected}"):
        fetch("genes/list")


@pytest.mark.parametrize("wrong", ["gene_loc/glist-hg18", "glist-hg19", "gene_locs/glist-hg19"])
def test_unknown_name_suggests_the_right_one(wrong) -> None:
    with pytest.raises(ManifestError, match=f"no file '{wrong}'; did you mean 'gene_loc/glist-hg19'"):
        fetch(wrong)


def test_mirror_that_is_no_folder(known, monkeypatch, tmp_path) -> None:
    known["genes/list"] = describe("genes/list")
    monkeypatch.setenv("GCAMCCL_MIRROR", str(tmp_path / "mistyped"))
    with pytest.raises(ManifestError, match="mistyped, which is no folder"):
        fetch("genes/list")


def test_verify_tells_present_absent_and_corrupt(known, mirrored, alone) -> None:
    for name in ("genes/a", "genes/b", "genes/c"):
        known[name] = describe(name)
    (mirrored / "genes/a").write_bytes(CONTENT)
    (alone / "genes").mkdir(parents=True)
    (alone / "genes/b").write_bytes(CONTENT[:10])
    table = verify().set_index("name")
    assert table["status"].to_dict() == {"genes/a": "present", "genes/b": "corrupt", "genes/c": "absent"}
    assert table["where"].to_dict() == {"genes/a": "mirror", "genes/b": "cache", "genes/c": ""}
    assert table["sha256_ok"].tolist() == [True, False, pd.NA]
    assert not (alone / "genes/c").exists(), "verify must not download"


def test_command_prints_fetches_and_fails_on_corrupt_files(known, mirrored, capsys) -> None:
    known["genes/a"] = describe("genes/a")
    (mirrored / "genes/a").write_bytes(CONTENT)
    assert main(["--fetch"]) == 0
    assert re.search(r"genes +1 +open +CC0", capsys.readouterr().out)
    assert main(["genes", "--files"]) == 0
    assert re.search(r"genes/a +genes +present +mirror +True", capsys.readouterr().out)
    (mirrored / "genes/a").write_bytes(b"")
    assert main([]) == 1
    assert f"corrupt: {mirrored / 'genes/a'}" in capsys.readouterr().err
    assert main(["genes/A"]) == 1
    assert "did you mean 'genes/a'" in capsys.readouterr().err


def test_command_explains_itself(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--fetch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ("a: {access: secret}", "'a' has access class 'secret'"),
        (
            "\n".join(
                f"{c}: {{access: open, purpose: p, licence: l, citation: c, files: {{x: {{bytes: 1, sha256: f}}}}}}"
                for c in "ab"
            ),
            "lists 'x' in 'a' and in 'b'",
        ),
    ],
)
def test_faulty_manifest_is_refused(monkeypatch, tmp_path, entries, fault) -> None:
    (tmp_path / "manifest.yaml").write_text(entries)
    monkeypatch.setattr(external_files, "manifest_folder", lambda: tmp_path)
    with pytest.raises(ManifestError, match=fault):
        read_manifest.__wrapped__()


def test_missing_manifest_says_where_to_work(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(external_files, "project_root", lambda: tmp_path)
    with pytest.raises(ManifestError, match="checkout of the project"):
        external_files.manifest_folder()


class Breaking(SimpleHTTPRequestHandler):
    """Sends half of a file and hangs up, then what is asked for by its range."""

    asked: ClassVar[list[str | None]] = []
    knows_ranges = True

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and self.knows_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : len(CONTENT) // 2] if len(self.asked) == 1 else CONTENT[start:])


class Slow(SimpleHTTPRequestHandler):
    """Sends a file bit by bit."""

    asked: ClassVar[list[str | None]] = []

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Range"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        for start in range(0, len(CONTENT), 100):
            self.wfile.write(CONTENT[start : start + 100])
            self.wfile.flush()
            time.sleep(0.02)


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_that_breaks_off_goes_on_where_it_stopped(known, alone, monkeypatch, knows_ranges) -> None:
    monkeypatch.setattr(Breaking, "asked", [])
    monkeypatch.setattr(downloads, "CHUNK", 64)
    monkeypatch.setattr(Breaking, "knows_ranges", knows_ranges)
    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        known["genes/list"] = describe("genes/list", address=f"http://127.0.0.1:{running.server_port}/list")
        with pytest.raises(UnavailableError, match=r"genes/list.* could not be downloaded"):
            fetch("genes/list")
        part = alone / "genes/list.part"
        have = part.stat().st_size
        assert 0 < have <= len(CONTENT) // 2
        assert fetch("genes/list").read_bytes() == CONTENT
        running.shutdown()
    assert Breaking.asked == [None, f"bytes={have}-"]
    assert not part.exists()


def test_two_downloads_of_the_same_at_once_give_it_once(known, alone, monkeypatch) -> None:
    monkeypatch.setattr(Slow, "asked", [])
    monkeypatch.setattr(downloads, "CHUNK", 64)
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        known["genes/list"] = describe("genes/list", address=f"http://127.0.0.1:{running.server_port}/list")
        with ThreadPoolExecutor(2) as pool:
            paths = list(pool.map(fetch, ["genes/list"] * 2))
        running.shutdown()
    assert [path.read_bytes() for path in paths] == [CONTENT] * 2
    assert Slow.asked == [None]
    assert [path.name for path in (alone / "genes").iterdir()] == ["list"]


def test_a_disk_without_room_is_not_taken_for_a_broken_connection(known, alone, server, monkeypatch) -> None:
    address, folder = server
    (folder / "list").write_bytes(CONTENT)
    known["genes/list"] = describe("genes/list", address=f"{address}/list")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
        with pytest.raises(StorageError, match=r"genes/list takes .*make room"):
            fetch("genes/list")
    assert fetch("genes/list").read_bytes() == CONTENT


def test_a_wrong_download_is_kept_aside(known, alone, server) -> None:
    address, folder = server
    (folder / "list").write_bytes(CONTENT[::-1])
    known["genes/list"] = describe("genes/list", address=f"{address}/list")
    with pytest.raises(ManifestError, match=r"it is kept aside as .*list\.wrong"):
        fetch("genes/list")
    assert (alone / "genes/list.wrong").read_bytes() == CONTENT[::-1]
    assert not (alone / "genes/list").exists()


def test_a_file_without_a_checksum_is_taken_as_it_is_and_said_to_be_unchecked(known, mirrored) -> None:
    known["genes/list"] = replace(describe("genes/list"), size=None, sha256=None, derived="", how="Ask for it.")
    with pytest.raises(UnavailableError, match=r"cannot be downloaded\. Ask for it\. Its place: .*genes/list"):
        fetch("genes/list")
    (mirrored / "genes/list").write_bytes(CONTENT)
    assert fetch("genes/list") == mirrored / "genes/list"
    assert verify()["status"].tolist() == ["unchecked"]


def test_collections_say_how_they_are_to_be_had(capsys) -> None:
    assert main(["--about", "pnc"]) == 0
    said = capsys.readouterr().out
    assert "pnc (controlled)" in said
    assert "phs000607" in said
    assert main(["--about", "pcn"]) == 1
    assert "no collection 'pcn'; did you mean 'pnc'?" in capsys.readouterr().err
    assert not any(file.collection == "pnc" for file in read_manifest().values())  # nothing of it is ever fetched


def test_fetching_all_goes_on_where_one_cannot_be_had(known, mirrored, capsys) -> None:
    known["genes/none"] = describe("genes/none")
    known["genes/list"] = describe("genes/list")
    (mirrored / "genes/list").write_bytes(CONTENT)
    assert main(["--fetch"]) == 0
    said = capsys.readouterr()
    assert "not to be had from here: genes: 'genes/none' cannot be downloaded. Cut from something larger." in said.err
    assert "present" in said.out
