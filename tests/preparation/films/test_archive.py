"""Archives: unpacked byte for byte, or refused with nothing left behind."""

import io
import json
import os
import shutil
import stat
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from preparation.films.archives import judged
from preparation.films.archives import unpack as unpack_module
from preparation.films.archives.source import empty_members_note
from preparation.films.archives.unpack import SUFFIXES, is_archive, unpack
from provenance import UserError, sha256_of

FILES = {
    "films/a.png": b"first" * 300_000,
    "films/deep/b.png": np.random.default_rng(0).bytes(70_000),
    "films/empty.png": b"",
    "inner.zip": b"PK\x05\x06" + bytes(18),
}


def pack(path, files=FILES, folders=("films", "films/none")):
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in folders:
                archive.writestr(f"{name}/", b"")
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz", "tar": "w"}
    with tarfile.open(path, mode[path.suffix[1:].lower()]) as archive:
        for name in folders:
            add(archive, f"./{name}", tarfile.DIRTYPE)
        for name, data in files.items():
            add(archive, f"./{name}", data=data)
    return path


def add(archive, name, kind=tarfile.REGTYPE, data=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def tar_with(path, name, kind=tarfile.REGTYPE, **attributes):
    with tarfile.open(path, "w") as archive:
        add(archive, "films/fine.png", data=b"fine")
        add(archive, name, kind, **attributes)
    return path


def zip_with(path, name, data=b"evil", change=lambda info: None):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("films/fine.png", b"fine")
        info = zipfile.ZipInfo(name)
        change(info)
        archive.writestr(info, data)
    return path


def patched(path, position, packed):
    """Overwrite a field of the last entry of a zip's central directory."""
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02") + position
    data[entry : entry + len(packed)] = packed
    path.write_bytes(data)
    return path


def refusal(archive, tmp_path, **options):
    """Unpack what must be refused: the sentence, after a look that nothing is left of it."""
    folder = tmp_path / "new" / "out"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        unpack(archive, folder, **options)
    assert not folder.exists()
    assert not folder.with_name("out.part").exists()
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    assert sorted(tmp_path.rglob("*")) == before
    sentence = str(caught.value)
    assert sentence.startswith(f"{archive.name}: ")
    assert "png" not in sentence.removeprefix(archive.name)  # members may identify
    return sentence


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unpacked_byte_for_byte(tmp_path, suffix):
    archive = pack(tmp_path / f"films{suffix.upper() if suffix == '.zip' else suffix}")
    assert is_archive(archive)
    folder = tmp_path / "new" / "out"
    assert unpack(archive, folder) == len(FILES)
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert found.pop(".unpacked").stat().st_size < 300
    assert {name: path.read_bytes() for name, path in found.items()} == FILES
    assert (folder / "films/none").is_dir()
    assert os.listdir(folder.parent) == ["out"]


def test_what_is_named_like_an_archive(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    assert not is_archive(tmp_path / "folder.zip")
    assert not is_archive(tmp_path / "films.npz")
    assert not is_archive(tmp_path / "labels.csv.gz")
    with pytest.raises(UserError, match=r"gone\.tar: there is no such file"):
        unpack(tmp_path / "gone.tar", tmp_path / "out")


def test_the_same_archive_is_reused_and_another_refused(tmp_path):
    archive, folder = pack(tmp_path / "a.zip"), tmp_path / "out"
    unpack(archive, folder)
    size, digest = archive.stat().st_size, sha256_of(archive)
    marker = json.loads((folder / ".unpacked").read_text())
    assert marker == {"archive_bytes": size, "archive_sha256": digest, "files": 4}
    (folder / "films/a.png").write_bytes(b"kept as it is")
    assert unpack(archive, folder) == 4
    assert (folder / "films/a.png").read_bytes() == b"kept as it is"
    pack(archive, {"films/a.png": b"other"})
    with pytest.raises(UserError, match="holds another unpacked archive"):
        unpack(archive, folder)


def test_a_killed_run_is_begun_again(tmp_path, monkeypatch):
    archive, folder = pack(tmp_path / "a.zip"), tmp_path / "out"
    monkeypatch.setattr(unpack_module.shutil, "rmtree", lambda *_, **__: None)  # as if killed

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        unpack_module, "write_json_atomic", lambda p, c: p.write_text(json.dumps(c))
    )
    monkeypatch.setattr(unpack_module.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, folder)
    monkeypatch.undo()
    assert not folder.exists()
    assert (tmp_path / "out.part/films/a.png").exists()
    assert unpack(archive, folder) == 4
    assert not (tmp_path / "out.part").exists()


def test_nothing_of_somebody_else_is_touched(tmp_path):
    archive = pack(tmp_path / "a.zip")
    for name, sentence in (("out", "holds 1 file"), ("out.part", "holds 1 file")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
        with pytest.raises(UserError, match=f"{name}: {sentence}"):
            unpack(archive, tmp_path / "out")
        assert (tmp_path / name / "mine.txt").read_text() == "mine"
        shutil.rmtree(tmp_path / name)
    (tmp_path / "out").mkdir()  # empty: nothing is lost
    assert unpack(archive, tmp_path / "out") == 4


@pytest.mark.parametrize(
    ("sentence", "names"),
    [
        ("absolute path", ("/etc/evil.png", "C:/evil.png", "c:evil.png", "\\\\host\\evil.png")),
        (
            "outside the folder",
            ("../evil.png", "films/../../evil.png", "films/.."),
        ),
        ("another member", ("films/fine.png", "./films//fine.png", "films/fine.png/e", "films")),
        ("reserved", (".unpacked", "./.unpacked")),
        ("control characters", ("films/e\nvil.png", "a/" * 600 + "evil.png")),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_lead_elsewhere(tmp_path, sentence, names, kind):
    for name in names:
        if kind == "zip":
            archive = zip_with(tmp_path / "a.zip", name)
        else:
            archive = tar_with(tmp_path / "a.tar", name, data=b"evil")
        said = refusal(archive, tmp_path)
        assert "member 2 " in said
        assert sentence in said
        assert "Nothing was unpacked" in said


def test_backslashes_in_a_zip_separate_folders(tmp_path):
    """As some programs on Windows write them; what they lead to is judged as with slashes."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in (("films\\", b""), ("films\\p1\\a.png", b"a"), ("films/p2\\b.png", b"b")):
            archive.writestr(name, data)
    assert unpack(tmp_path / "a.zip", tmp_path / "out") == 2
    assert (tmp_path / "out/films/p1/a.png").read_bytes() == b"a"
    assert (tmp_path / "out/films/p2/b.png").read_bytes() == b"b"
    for name, sentence in (
        ("..\\evil.png", "outside the folder"),
        ("C:\\evil.png", "absolute path"),
        ("\\evil.png", "absolute path"),
        ("films\\fine.png", "another member"),
    ):
        assert sentence in refusal(zip_with(tmp_path / "b.zip", name), tmp_path)
    assert "another system" in refusal(tar_with(tmp_path / "c.tar", "a\\b.png", data=b""), tmp_path)


def test_a_zero_byte_hides_no_name(tmp_path):
    archive = zip_with(tmp_path / "a.zip", "films/fine_png")
    archive.write_bytes(archive.read_bytes().replace(b"fine_png", b"fine\0png"))
    assert "control characters" in refusal(archive, tmp_path)


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6", b"Z"])
def test_links_and_devices_in_tar(tmp_path, kind):
    device = {"linkname": "films/fine.png", "devmajor": 1, "devminor": 3}
    archive = tar_with(tmp_path / "a.tar", "films/evil", kind, **device)
    assert "link, a device" in refusal(archive, tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_zip(tmp_path, kind):
    def change(info):
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16

    archive = zip_with(tmp_path / "a.zip", "films/evil", b"/etc", change)
    assert "link or a device" in refusal(archive, tmp_path)


@pytest.mark.parametrize(
    ("position", "packed", "sentence"),
    [
        (8, b"\x01\0", "member 2 is encrypted: unpack it yourself"),
        (10, b"\x09\0", "member 2 is compressed by a method that is not read"),
        (16, b"\0\0\0\0", "member 2 is damaged (BadZipFile): copy the archive again"),
        (42, struct.pack("<I", 9), "member 2 is damaged (BadZipFile): copy the archive again"),
    ],
)
def test_one_bad_member_of_a_zip_is_lost_alone(tmp_path, position, packed, sentence):
    archive = patched(zip_with(tmp_path / "a.zip", "films/p1/evil.png"), position, packed)
    assert unpack(archive, tmp_path / "out") == 2
    assert (tmp_path / "out/films/fine.png").read_bytes() == b"fine"
    assert (tmp_path / "out/films/p1/evil.png").read_bytes() == b""
    (note,) = empty_members_note(tmp_path / "out")
    assert note.startswith("1 member of the archive could not be unpacked (")
    assert sentence in note
    assert "evil" not in note
    assert unpack(archive, tmp_path / "out") == 2  # another run says it again
    assert empty_members_note(tmp_path / "out") == [note]
    npz = archive.rename(tmp_path / "a.npz")  # whose arrays belong together
    assert "Nothing" in refusal(npz, tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_both_are_lost(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in (("a.png", b"1"), ("b.png", b"2"), ("./a.png", b"3"), ("c.png", b"4")):
            archive.writestr(name, data)
    unpack(tmp_path / "a.zip", tmp_path / "out")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert found == {"a.png": b"", "b.png": b"2", "c.png": b"4"}
    (note,) = empty_members_note(tmp_path / "out")
    assert "member 3 has the name of another member" in note


def test_a_zip_of_which_no_member_can_be_unpacked_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"1")
    patched(tmp_path / "a.zip", 8, b"\x01\0")
    said = refusal(tmp_path / "a.zip", tmp_path)
    assert said.endswith("give the folder. Nothing was unpacked.")
    pack(tmp_path / "b.zip")
    assert unpack(tmp_path / "b.zip", tmp_path / "whole") == 4
    assert empty_members_note(tmp_path / "whole") == []


def test_bombs(tmp_path):
    archive = patched(zip_with(tmp_path / "a.zip", "evil.png"), 24, struct.pack("<I", 2**31))
    assert "as no films do" in refusal(archive, tmp_path)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_limits_hold_before_anything_is_written(tmp_path, suffix, monkeypatch):
    archive = pack(tmp_path / f"a{suffix}")
    total = sum(map(len, FILES.values()))
    assert unpack(archive, tmp_path / "exactly", max_bytes=total) == 4
    shutil.rmtree(tmp_path / "exactly")
    assert "beyond 1,569,999 bytes" in refusal(archive, tmp_path, max_bytes=total - 23)
    monkeypatch.setattr(unpack_module, "_disk_room", lambda _: 1000)
    assert "1,000 bytes free on the disk: make room" in refusal(archive, tmp_path)
    monkeypatch.setattr(judged, "_MOST_MEMBERS", 0)
    assert "member 1 follows 0 others" in refusal(archive, tmp_path)


def test_a_bomb_in_a_tar(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.tar.gz", {"zeros.png": bytes(3_000_000)})
    assert unpack(archive, tmp_path / "small") == 1  # below 1 GiB any ratio is let through
    shutil.rmtree(tmp_path / "small")
    monkeypatch.setattr(judged, "_RATIO_FREE_BYTES", 2_000_000)
    assert "as no films do" in refusal(archive, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("declared", "checked", "sentence"),
    [
        (4_000, 4_000, "damaged"),  # zipfile alone would cut it there and see nothing wrong
        (4_000, 4_001, "another size than the 4,000 bytes that it declares"),
        (60_000, 50_000, "another size than the 60,000 bytes that it declares"),
    ],
)
def test_another_size_than_declared(tmp_path, method, declared, checked, sentence):
    data = np.random.default_rng(0).bytes(50_000)

    def change(info):
        info.compress_type = method

    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as alone:
        info = zipfile.ZipInfo("evil.png")
        change(info)
        alone.writestr(info, data)
    patched(archive, 24, struct.pack("<I", declared))
    patched(archive, 16, struct.pack("<I", zipfile.crc32(data[:checked])))
    assert sentence in refusal(archive, tmp_path)
    if checked == declared:
        with zipfile.ZipFile(archive) as trusting:
            assert len(trusting.read("evil.png")) == declared


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_and_flipped_archives(tmp_path, suffix):
    files = {f"{i}.png": np.random.default_rng(i).bytes(3000) for i in range(6)}
    whole = pack(tmp_path / f"a{suffix}", files, ()).read_bytes()
    archive = tmp_path / f"a{suffix}"
    # A tar is padded after its end mark of two blocks.
    end = len(whole) if suffix != ".tar" else 6 * (512 + 3072)
    for length in np.linspace(0, end - 1, 25).astype(int):
        archive.write_bytes(whole[:length])
        refusal(archive, tmp_path)
    rng = np.random.default_rng(1)
    for offset in rng.integers(0, end, 40):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << rng.integers(0, 8)
        archive.write_bytes(damaged)
        try:
            unpack(archive, tmp_path / "out")
        except UserError:
            assert not (tmp_path / "out").exists()
            continue
        if suffix != ".tar":  # which has no checksum of what it holds
            found = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.png")}
            lost = [name for name, data in found.items() if data != files[name]]
            assert found.keys() == files.keys()
            assert len(lost) <= 1
            assert all(found[name] == b"" for name in lost)
            assert len(empty_members_note(tmp_path / "out")) == len(lost)
        shutil.rmtree(tmp_path / "out")
    archive.write_bytes(b"<html>not found</html>" * 100)
    assert "is damaged, or no such archive" in refusal(archive, tmp_path)


def test_a_damaged_header_in_the_middle_does_not_end_a_tar(tmp_path):
    archive = pack(tmp_path / "a.tar", {f"{i}.png": b"x" * 512 for i in range(6)}, ())
    damaged = bytearray(archive.read_bytes())
    damaged[3 * 1024 + 148] ^= 1  # the checksum of the fourth header; tarfile stops there
    archive.write_bytes(damaged)
    with tarfile.open(archive) as quiet:
        assert len(quiet.getmembers()) == 3
    assert "damaged" in refusal(archive, tmp_path)


def test_headers_that_would_fill_the_memory(tmp_path):
    for name, attributes in (("a" * 1_100_000, {}), ("a", {"pax_headers": {"x": "y" * 1_100_000}})):
        archive = tmp_path / "a.tar"
        form = tarfile.PAX_FORMAT if attributes else tarfile.GNU_FORMAT
        with tarfile.open(archive, "w", format=form) as tar:
            add(tar, name, data=b"1", **attributes)
        assert "damaged, or no such archive (ReadError)" in refusal(archive, tmp_path)


def test_negative_sizes(tmp_path):
    headers = {"size": "-1024"}
    archive = tar_with(tmp_path / "a.tar", "evil.png", pax_headers=headers)
    assert "negative size" in refusal(archive, tmp_path)
    info = tarfile.TarInfo("evil.png")
    info.size = -1024
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "damaged" in refusal(archive, tmp_path)


@pytest.mark.parametrize("version", ["GNU.sparse.size", "GNU.sparse.major"])
def test_sparse_files(tmp_path, version):
    headers = {version: "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    data = b"1\n0\n1\n"
    archive = tar_with(tmp_path / "a.tar", "evil.png", pax_headers=headers, data=data)
    said = refusal(archive, tmp_path)
    assert "sparse" in said or "damaged" in said


def test_a_full_disk_is_said_as_it_is_and_leaves_nothing(tmp_path, monkeypatch):
    archive = pack(tmp_path / "a.zip")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpack_module, "_extract", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]
