"""Licences of data: what they demand, and their way from a cache to what is released."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

import generate
from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticSet
from licences import KNOWN_DATA, PHANTOM, Licence, known_data, licences_of, obligations, together
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.loading import licences_behind, load_module
from preparation.licence import licence_of_medmnist
from provenance import UserError, read_json, sha256_of
from studies.run.fingerprint import describe_data
from tests.conftest import write_cache, write_film_cache
from tests.film_runs import draw, films, make_films
from tests.gan_runs import trained
from tests.prepare_runs import contents, kits19, make_source, run


@pytest.mark.parametrize(
    ("name", "demands"),
    [
        ("CC BY 4.0", ["attribution"]),
        ("CC BY-NC-SA 4.0", ["attribution", "non-commercial", "share-alike"]),
        ("CC BY-NC-ND 3.0", ["attribution", "non-commercial", "no derivatives"]),
        ("CC BY-SA 4.0", ["attribution", "share-alike"]),
        ("CC0 1.0", []),
    ],
)
def test_creative_commons_demands_what_its_letters_say(name: str, demands: list[str]) -> None:
    licence = Licence.of_text(name.lower().replace(" ", "-"))  # also as Hugging Face spells it
    assert licence == Licence(name)
    assert list(licence.demands) == demands
    assert licence.hugging_face == name.lower().replace(" ", "-")
    assert licence.needs_leave == ("no derivatives" in demands)


def test_known_data_have_their_terms() -> None:
    assert known_data("kits19") == Licence("CC BY-NC-SA 4.0", "KiTS19")
    assert "arXiv:1904.00445" in known_data("kits19").demands["attribution"]
    for name in ("3d-ircadb", "chexpert", "mimic-cxr", "own"):
        assert known_data(name).needs_leave, name
    for name in ("kits19", "nih", "kermany", "medmnist", "dermamnist"):
        assert not known_data(name).needs_leave, name
    assert "PhysioNet alone" in known_data("mimic-cxr").demands["agreement, no passing on"]
    assert list(known_data("nih").demands) == ["attribution"]
    for name in KNOWN_DATA:
        assert Licence.of_text(name.upper()) == known_data(name)
        assert Licence.of_plain(known_data(name).plain()) == known_data(name)


def test_what_is_unknown_is_said_and_a_slip_is_refused() -> None:
    ours = Licence.of_text("Aalen films: agreement of 2025, section 4")
    assert ours == Licence("agreement of 2025, section 4", "Aalen films")
    assert "Read it" in ours.demands["read it"]
    assert ours.hugging_face == "other"
    assert Licence().hugging_face == "unknown"
    with pytest.raises(UserError, match="Did you mean kits19"):
        Licence.of_text("kits-19")
    for wrong in ("", "a\nb", "x" * 201):
        with pytest.raises(UserError, match="expected one line of 1 to 200 characters: kits19, "):
            Licence.of_text(wrong)


def test_several_are_told_once_and_a_phantom_adds_nothing() -> None:
    kits = known_data("kits19")
    assert together([PHANTOM, kits, Licence(), kits]) == [kits, Licence()]
    assert together([PHANTOM, PHANTOM]) == [PHANTOM]
    lines = obligations([kits, Licence()])
    assert lines[0] == "Licence of the data behind it: KiTS19: CC BY-NC-SA 4.0"
    assert "  non-commercial: no commercial use, by you or by whoever receives it." in lines
    assert "Licence of the data behind it: not stated" in lines
    assert "no legal advice" in lines[-1]
    assert len(obligations([PHANTOM])) == 2
    assert "no obligations" in obligations([PHANTOM])[1]


@pytest.mark.parametrize("plain", [None, 7, [], ["x"], [{"name": 3}], {"name": "x"}])
def test_whatever_stands_in_a_file_is_read_as_not_stated(plain: object) -> None:
    assert licences_of(plain) == [Licence()]
    assert licences_of(None, "phantom_ct") == [PHANTOM]


@pytest.mark.parametrize("text", [*KNOWN_DATA, "CC BY 4.0", "our films: leave of the clinic"])
def test_a_licence_is_written_as_it_is_read(text: str) -> None:
    licence = Licence.of_text(text)
    assert Licence.of_text(licence.as_text) == licence


def test_kits19_is_known_by_its_cases_and_the_licence_can_be_corrected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kits"
    assert kits19(make_source(tmp_path / "raw"), out) == 0
    said = capsys.readouterr().out
    assert "licence: KiTS19: CC BY-NC-SA 4.0 (attribution, non-commercial, share-alike)." in said
    assert f"correct it: python prepare.py licence {out} --licence own" in said
    before, cache = contents(out), SliceCache.open(out)
    assert cache.licence == known_data("kits19")
    described, sha256 = describe_data(out), cache.list_sha256

    assert run("licence", out, "--licence", "own") == 0
    assert "licence: own data (your institution decides)." in capsys.readouterr().out
    other = SliceCache.open(out)
    assert other.licence == known_data("own")
    # The same cache to a study, a training and an evaluation.
    assert describe_data(out) == described
    assert other.list_sha256 == sha256
    assert {k: v for k, v in contents(out).items() if k not in ("manifest.json", ".lock")} == {
        k: v for k, v in before.items() if k not in ("manifest.json", ".lock")
    }
    # What was stated stays when the command is repeated, and is not changed by it.
    assert kits19(tmp_path / "raw", out) == 0
    assert SliceCache.open(out).licence == known_data("own")
    stays = contents(out)
    assert kits19(tmp_path / "raw", out, "--licence", "CC BY 4.0") == 2
    assert "was stated as own data. Nothing was changed. To correct it: python prepare.py" in (
        capsys.readouterr().err
    )
    assert contents(out) == stays


def test_a_cache_without_a_licence_keeps_its_hash_when_one_is_stated(tmp_path: Path) -> None:
    root = write_cache(tmp_path / "cache")
    sha256 = sha256_of(root / "manifest.json")
    before = SliceCache.open(root)
    assert before.licence == Licence()
    assert before.list_sha256 == sha256
    described = describe_data(root)
    # As an earlier version wrote it.
    (root / "manifest.json").write_text(json.dumps(before.manifest, indent=1) + "\n")
    sha256 = SliceCache.open(root).list_sha256
    assert sha256 == sha256_of(root / "manifest.json")
    assert run("licence", root, "--licence", "nih") == 0
    assert sha256_of(root / "manifest.json") != sha256
    assert SliceCache.open(root).list_sha256 == sha256
    assert describe_data(root) == described


def test_other_names_of_cases_are_nobodys_known_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_source(tmp_path / "raw")
    (source / "case_00003").rename(source / "anna")
    assert kits19(source, tmp_path / "a", keep=False) == 0
    said = capsys.readouterr().out
    assert "licence: not stated." in said
    assert f"python prepare.py licence {tmp_path / 'a'} --licence" in said
    assert read_json(tmp_path / "a/manifest.json")["licence"]["name"] == "not stated"
    assert kits19(source, tmp_path / "a", "--licence", "own", keep=False) == 0  # stated later
    assert SliceCache.open(tmp_path / "a").licence == known_data("own")


def test_films_and_their_parts_carry_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_films(tmp_path / "raw")
    for part, licence in (("1/2", "nih"), ("2/2", "nih"), ("2/2", "kermany")):
        folder = tmp_path / f"part{part[0]}_{licence}"
        assert films(source, folder, "--shard", part, "--licence", licence) == 0
    first, second, other = (tmp_path / f"part{name}" for name in ("1_nih", "2_nih", "2_kermany"))
    assert run("merge", first, second, "--out", tmp_path / "joined") == 0
    assert FilmCache.open(tmp_path / "joined").licence == known_data("nih")
    assert films(source, tmp_path / "whole", "--licence", "nih") == 0
    assert read_json(tmp_path / "joined/manifest.json") == read_json(
        tmp_path / "whole/manifest.json"
    )
    capsys.readouterr()
    assert run("merge", first, other, "--out", tmp_path / "no") == 2
    assert "their licences were stated as" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_phantom_is_nobodys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--out",
        tmp_path / "p",
        "--num-patients",
        "5",
        "--num-slices",
        "4",
        "--split-seed",
        "4",
    )
    assert run("phantom_ct", *words, "--image-size", "32", "--licence", "own") == 2
    assert "is drawn by this software and shows nobody. Leave it out." in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
    assert run("phantom_ct", *words, "--image-size", "32") == 0
    assert open_cache(tmp_path / "p").licence == PHANTOM
    assert "licence: phantom: drawn, shows nobody (no obligations)." in capsys.readouterr().out
    assert run("licence", tmp_path / "p", "--licence", "own") == 2


def test_medmnist_is_known_by_its_name() -> None:
    assert licence_of_medmnist("pneumoniamnist_64") == Licence("CC BY 4.0", "MedMNIST")
    assert licence_of_medmnist("dermamnist") == Licence("CC BY-NC 4.0", "DermaMNIST")


def test_it_goes_from_the_cache_through_checkpoints_to_the_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_film_cache(tmp_path / "films")
    silent = trained(root, "dcgan", tmp_path / "silent")
    unknown = tmp_path / "unknown"
    given = ["--device", "cpu", "--num-images", "3"]
    assert generate.main([f"--checkpoint={silent}", f"--out={unknown}", *given]) == 0
    assert "Licence of the data behind it: not stated" in capsys.readouterr().out
    assert SyntheticSet.open(unknown).licences == [Licence()]
    stated = tmp_path / "stated"
    assert (
        generate.main([f"--checkpoint={silent}", f"--out={stated}", "--licence=kermany", *given])
        == 0
    )
    made = SyntheticSet.open(stated)
    assert made.licences == [known_data("kermany")]
    typed = shlex.split(made.manifest["command"])
    assert Licence.of_text(typed[typed.index("--licence") + 1]) == known_data("kermany")

    assert run("licence", root, "--licence", "nih") == 0
    # One goes on from weights of unknown data, and is resumed; the other learns through a set.
    start = f"--model.start_from={silent}"
    later = trained(root, "dcgan", tmp_path / "later", start)
    both = [known_data("nih"), Licence()]
    assert licences_behind(load_module(later)[1]) == both
    resumed = ("--resume=true", "--trainer.max_epochs=2")
    later = trained(root, "dcgan", tmp_path / "later", start, *resumed)
    assert licences_behind(load_module(later)[1]) == both
    through = trained(root, "dcgan", tmp_path / "through", f"--data.synthetic={stated}")
    assert licences_behind(load_module(through)[1]) == [known_data("nih"), known_data("kermany")]

    capsys.readouterr()
    generate.main([f"--checkpoint={through}", f"--out={tmp_path / 'set'}", *given])
    said = capsys.readouterr().out
    assert "Licence of the data behind it: NIH ChestX-ray14: free use with attribution" in said
    assert "Licence of the data behind it: Kermany's chest films: CC BY 4.0" in said
    assert SyntheticSet.open(tmp_path / "set").licences == [
        known_data("nih"),
        known_data("kermany"),
    ]
    with pytest.raises(UserError, match="the checkpoint states NIH ChestX-ray14: free use"):
        generate.generate(through, out=tmp_path / "no", licence="own")


def test_a_record_with_a_strange_licence_is_refused(tmp_path: Path) -> None:
    from lightning_modules.checkpoint_record import check_record

    root = write_film_cache(tmp_path / "films")
    record = load_checkpoint_file(trained(root, "dcgan", tmp_path / "run"))["understudy"]
    assert record["licences"] == [Licence().plain()]
    with pytest.raises(UserError, match="licences is 'free'"):
        check_record({**record, "licences": "free"}, tmp_path / "x.ckpt")
    shutil.rmtree(tmp_path / "run")


def test_a_set_of_another_program_has_that_of_its_cache_and_its_own(tmp_path: Path) -> None:
    cache, source = tmp_path / "cache", tmp_path / "made"
    assert films(make_films(tmp_path / "real", 40), cache, "--licence", "nih") == 0
    source.mkdir()
    for number in range(3):
        Image.fromarray(draw(number, 32)).save(source / f"{number}.png")

    def brought(name: str, *words: object) -> list[Licence]:
        out = tmp_path / name
        assert run("synthetic", "--source", source, "--out", out, *words) == 0
        assert "licence of the data behind it" in (out / "README.md").read_text()
        return SyntheticSet.open(out).licences

    theirs = Licence("CC BY-NC 4.0", "Vendor")
    said = ("--licence", "Vendor: cc-by-nc-4.0")
    assert brought("a", "--trained-on", cache) == [known_data("nih")]
    assert brought("b", "--trained-on", cache, *said) == [known_data("nih"), theirs]
    assert brought("c", "--like", cache) == [Licence()]
    assert generate.main(["card", "--synthetic", str(tmp_path / "c"), "--licence", "own"]) == 0
    assert brought("c", "--like", cache) == [known_data("own")]  # the command says none again
    assert brought("d", "--like", cache, *said) == [theirs]
