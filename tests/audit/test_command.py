"""evaluate.py audit, whole: what is written, what is said, what is refused, and whom it shows."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

import evaluate
from audit.choice import _more_classes_searched
from audit.images import audited_sets
from audit.verdict import COPIES, NO_ANSWER, NOTHING_FOUND, headline, kind_of
from cards.finish import finish_synthetic_set
from datamodules.choice.fewer_patients import some_patients
from datamodules.film_cache import FilmCache
from datamodules.open_cache import open_cache
from datamodules.slice_cache import SliceCache
from datamodules.synthetic import SyntheticItem, SyntheticSet
from knowledge import Knowledge
from provenance import UserError, library_versions, sha256_of
from tests.conftest import write_cache, write_film_cache

PATIENTS = {f"patient_{i:012x}": "train" if i < 12 else ("val", "test")[i % 2] for i in range(42)}


@pytest.fixture(scope="module")
def films_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 training patients and 30 others with a film of 32 px each."""
    root = tmp_path_factory.mktemp("films") / "cache"
    return write_film_cache(root, PATIENTS, films=1, films_per_shard=42)


def centre(cache: FilmCache, index: int) -> np.ndarray:
    first = (cache.stored_size - cache.image_size) // 2
    inside = slice(first, first + cache.image_size)
    return np.array(cache.image(index)[..., inside, inside])


def write_set(
    root: Path,
    images: list[np.ndarray],
    learnt: Knowledge,
    items: list[SyntheticItem] | None = None,
    **more: Any,
) -> Path:
    """Images as if a generator had made them that learnt from these."""
    (root / "images").mkdir(parents=True)
    items = items or [SyntheticItem(f"made_{i:05d}", i) for i in range(len(images))]
    for item, image in zip(items, images, strict=True):
        Image.fromarray(image).save(root / f"images/{item.id}.png")
    origin = {"checkpoint_sha256": "c" * 64, "images_seen": 1, **learnt.plain()}
    manifest = {
        "dataset": "chest_xray",
        "image_size": images[0].shape[-1],
        "seed": 0,
        "versions": library_versions(),
        "generator": origin,
        **more,
    }
    finish_synthetic_set(root, items, manifest, "python generate.py")
    return root


def audited(synthetic: Path, cache: Path, out: Path, *more: str) -> dict[str, Any]:
    words = ["audit", "--synthetic", synthetic, "--data.root", cache, "--out", out]
    assert evaluate.main([*map(str, words), "--num-planted", "20", *more]) == 0
    result: dict[str, Any] = json.loads((out / "audit.json").read_text())
    return result


def test_copies_are_found_and_nothing_handed_on_shows_or_names_a_patient(
    films_root: Path, tmp_path: Path, quick_audit: None, capsys: pytest.CaptureFixture[str]
) -> None:
    cache_root = shutil.copytree(films_root, tmp_path / "Mueller")
    cache = FilmCache.open(cache_root)
    train = cache.indices("train")
    copies = [centre(cache, index)[:, ::-1].copy() for index in train[:5].tolist()]
    fresh = [centre(cache, index) for index in cache.indices("test")[:6].tolist()]
    learnt = cache.knowledge(train)
    synthetic = write_set(tmp_path / "Hans", copies + fresh, learnt)
    out = tmp_path / "out"
    copying = write_set(tmp_path / "copying", copies, learnt)
    more = ["--split=val+test", "--device=cpu", f"--control-set={copying}"]
    result = audited(synthetic, cache_root, out, *more, "--extractor=random_vgg")
    assert result["verdict"] == COPIES
    assert [row["flagged"] for row in result["images"]][:5] == [True] * 5
    assert result["num_training"] == 12
    assert result["num_held_out_patients"] == 30
    plain, flipped, rebuilt, made = result["planted"]
    assert rebuilt["disguise"] == "rebuilt from 6 principal components"
    assert made["num"] == rebuilt["num"] == 12
    (blurred,) = result["no_copies"]
    assert blurred["what"] == f"held-out images {rebuilt['disguise']}"
    assert (result["control_set"]["num"], result["control_set"]["found"]) == (5, 1.0)
    assert list(result["by_distance"]) == ["own embedding", "random_vgg"]
    for one in result["by_distance"].values():
        assert one["membership"]["membership_tpr"] is None  # 30 held-out patients
        assert one["reidentification"] == {"num_patients": 0, "num_images": 0, "succeeds": False}
        assert one["fidelity"] is None  # 11 images
    assert plain["found"] == flipped["found"] == plain["source_named"] == 1.0
    assert "resemble training images more than any of 30" in capsys.readouterr().out

    page = (out / "report.html").read_text()
    for sentence in result["sentences"]:
        assert sentence.replace("&", "&amp;") in page
    embedded = re.findall(r'src="(data:image/png|[^"]*)', page)
    assert embedded == [
        "data:image/png",
        "shows_patients/pairs.png",
        "shows_patients/held_out_pairs.png",
        "data:image/png",
    ]
    handed_on = [path.read_text() for path in out.iterdir() if path.is_file()]
    assert len(handed_on) == 3
    for text in handed_on:
        assert not re.search(r"patient_[0-9a-f]{12}|film_[0-9a-f]{16}", text)
        assert not re.search(r"anonym|\bprivate\b|privacy", text, re.IGNORECASE)
    for name in ("report.html", "report.md"):
        text = (out / name).read_text()
        assert "Can somebody tell who was in the training set, by random_vgg?" in text
        assert "control set" in text
        assert f"Audit for copies: a synthetic set of {cache.dataset}" in text
    for name in ("report.html", "report.md", "audit.json"):
        text = (out / name).read_text()
        assert "--synthetic SET --data.root CACHE --out FOLDER" in text
        for folder in (str(tmp_path), "Mueller", "Hans", "copying"):
            assert folder not in text
    typed = (out / "shows_patients/command.txt").read_text()
    assert f"--synthetic {synthetic} --data.root {cache_root} --out {out}" in typed
    assert "stays with the data" in (out / "shows_patients/README.txt").read_text()
    assert (out / "shows_patients/components.png").read_bytes().startswith(b"\x89PNG")
    pairs = (out / "shows_patients/pairs.csv").read_text().splitlines()
    assert len(pairs) == 12
    # made_00000 is a mirrored copy of the first training film.
    row = next(line for line in pairs if line.startswith("made_00000,"))
    assert str(cache.ids[train[0]]) in row

    with pytest.raises(UserError, match=r"holds another audit.*seed was 0, is now 1"):
        audited(synthetic, cache_root, out, *more, "--extractor=random_vgg", "--seed=1")


def test_a_control_set_copies_what_is_searched(films_root: Path, tmp_path: Path) -> None:
    cache = FilmCache.open(films_root)
    train, test = cache.indices("train"), cache.indices("test")
    image = centre(cache, 0)

    def opened(name: str, learnt: Knowledge, size: int = 32) -> SyntheticSet:
        return SyntheticSet.open(write_set(tmp_path / name, [image[:size, :size]] * 2, learnt))

    ours = opened("ours", cache.knowledge(train))
    some = opened("some", cache.knowledge(train[:3]))
    sets = audited_sets(ours, cache, "val", None, 2000, False, some)
    assert sets.control is not None
    assert len(sets.control) == 2
    for name, control in (
        ("strangers", opened("strangers", cache.knowledge(test))),
        ("unknown", opened("unknown", Knowledge())),
    ):
        with pytest.raises(UserError, match=rf"--control-set .*{name}: .* none of the images"):
            audited_sets(ours, cache, "val", None, 2000, False, control)
    small = opened("small", cache.knowledge(train), 16)
    with pytest.raises(UserError, match="holds 2 images of 16 px, expected some of 32 px"):
        audited_sets(ours, cache, "val", None, 2000, False, small)


def test_where_nobody_knows_the_generator_all_but_the_held_out_are_searched(
    films_root: Path, tmp_path: Path
) -> None:
    cache = FilmCache.open(films_root)
    image, unknown = centre(cache, 0), Knowledge(of_unknown=True)
    made = SyntheticSet.open(write_set(tmp_path / "a", [image], unknown))
    found = audited_sets(made, cache, "test", None, 2000, False)
    assert found.training.ids == cache.ids[cache.splits < 2].tolist()
    assert found.held_out.ids == cache.ids[cache.indices("test")].tolist()
    assert "is unknown, as whoever brought the set in says" in found.notes[0]
    assert "with all 27 images that are not held out" in found.notes[0]
    assert "--split val and with --split test" in found.notes[1]
    both = audited_sets(made, cache, "val+test", None, 2000, False)
    assert both.training.ids == cache.ids[cache.indices("train")].tolist()


def test_whom_the_generator_knew_is_searched_and_held_out_of_the_held_out(
    films_root: Path, tmp_path: Path
) -> None:
    cache = FilmCache.open(films_root)
    train, test = cache.indices("train"), cache.indices("test")
    image = centre(cache, 0)

    def sets(indices: np.ndarray) -> Any:
        path = write_set(tmp_path / str(len(list(tmp_path.iterdir()))), [image],
                         cache.knowledge(indices))  # fmt: skip
        return audited_sets(SyntheticSet.open(path), cache, "test", None, 2000, False)

    half = sets(train[:6])
    assert half.training.ids == cache.ids[train[:6]].tolist()
    assert half.held_out.ids == cache.ids[test].tolist()
    assert half.notes == []
    leaked = sets(np.concatenate([train, test[:3]]))
    assert len(leaked.training) == 15
    assert leaked.held_out.ids == cache.ids[test[3:]].tolist()
    assert "3 are not in the cache's training split" in leaked.notes[0]
    untold = write_set(tmp_path / "untold", [image], Knowledge())
    told = audited_sets(SyntheticSet.open(untold), cache, "test", None, 2000, False)
    assert len(told.training) == 12
    assert "does not tell whom" in told.notes[0]
    strangers = Knowledge(frozenset({"patient_ffffffffffff"}), names=frozenset())
    other = write_set(tmp_path / "other", [image], strangers)
    with pytest.raises(UserError, match=r"none of them is in .* give the cache"):
        audited_sets(SyntheticSet.open(other), cache, "test", None, 2000, False)


def test_of_a_generator_of_a_quarter_of_the_patients_these_are_searched(
    films_root: Path, tmp_path: Path
) -> None:
    cache = FilmCache.open(films_root)
    learnt = cache.knowledge(cache.indices("train"))
    path = write_set(tmp_path / "set", [centre(cache, 0)], learnt)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["generator"]["generators"] = [{"fraction_of_patients": 0.25, "patients_seed": 3}]
    (path / "manifest.json").write_text(json.dumps(manifest))
    sets = audited_sets(SyntheticSet.open(path), cache, "test", None, 2000, False)
    expected = some_patients(cache.patients("train"), 0.25, 3)
    assert sorted(set(sets.training.patients)) == sorted(expected)
    assert len(expected) == 3
    assert sets.held_out.ids == cache.ids[cache.indices("test")].tolist()
    assert "trained on 3 of the 12 training patients" in sets.notes[0]


def test_images_are_read_as_they_are_and_averaged_alike(tmp_path: Path) -> None:
    root = write_film_cache(
        tmp_path / "cache", dict(list(PATIENTS.items())[:30]), films=1, image_size=128,
        stored_size=130, bit_depth=16, films_per_shard=30,
    )  # fmt: skip
    cache = FilmCache.open(root)
    train = cache.indices("train")
    levels = [np.rint(centre(cache, int(i)) / 257).astype(np.uint8) for i in train[:4]]
    path = write_set(tmp_path / "set", levels, cache.knowledge(train))
    sets = audited_sets(SyntheticSet.open(path), cache, "val", None, 2000, False)
    assert sets.synthetic.pixels.shape == (4, 1, 64, 64)
    difference = sets.synthetic.pixels.int() - sets.training.pixels[:4].int()
    assert difference.abs().max() <= 1
    by_hand = levels[0].reshape(64, 2, 64, 2).mean((1, 3))
    assert np.abs(sets.synthetic.pixels[0, 0].numpy() - by_hand).max() <= 0.5
    assert "looked at as 64 px" in sets.notes[-1]
    few = audited_sets(SyntheticSet.open(path), cache, "val", 2, 2, False)
    assert (len(few.synthetic), len(few.held_out)) == (2, 2)


@pytest.mark.parametrize("classes", [("normal",), ("normal", "abnormal"), (None,), ("other",)])
def test_images_of_classes_that_a_generator_was_not_shown_are_searched_and_that_is_said(
    films_root: Path, tmp_path: Path, classes: tuple[str | None, ...]
) -> None:
    cache = FilmCache.open(films_root)
    train = cache.indices("train")
    path = write_set(tmp_path / "set", [centre(cache, 0)] * 2, cache.knowledge(train))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["generator"]["generators"] = [{"trained_on_label": one} for one in classes]
    (path / "manifest.json").write_text(json.dumps(manifest))
    sets = audited_sets(SyntheticSet.open(path), cache, "test", None, 2000, False)
    assert len(sets.training) == len(train)
    told = [note for note in sets.notes if "alone (label column label)" in note]
    assert len(told) == (classes == ("normal",))
    assert not told or "Those of abnormal were searched for copies too" in told[0]


def test_classes_are_not_said_to_be_searched_where_none_of_their_images_is(
    films_root: Path,
) -> None:
    cache = FilmCache.open(films_root)
    made = SimpleNamespace(manifest={"generator": {"generators": [{"trained_on_label": "normal"}]}})
    normal = cache.class_names("label").index("normal")
    shown = cache.labels("label") == normal
    assert _more_classes_searched(cast(SyntheticSet, made), cache, shown) == []
    everything = np.ones(len(cache), bool)
    assert len(_more_classes_searched(cast(SyntheticSet, made), cache, everything)) == 1


def test_slices_are_compared_with_the_one_behind_their_label_map(tmp_path: Path) -> None:
    patients = {f"case_{i:05d}": "train" if i < 3 else "test" for i in range(6)}
    root = write_cache(tmp_path / "cache", patients)
    cache = SliceCache.open(root)
    items = [
        SyntheticItem(f"made_{n}", n, item.id, item.patient_id, item.class_pixels)
        for n, item in enumerate(cache.select("train", foreground_only=True)[:5])
    ]
    slices = {item.id: item for item in cache.items}
    images = [np.array(cache.image(slices[str(item.label_item_id)])) for item in items]
    path = write_set(
        tmp_path / "set", images, cache.knowledge(cache.indices("train")), items,
        num_classes=3, class_names=["background", "kidney", "tumour"],
    )  # fmt: skip
    sets = audited_sets(SyntheticSet.open(path), open_cache(root), "test", None, 2000, False)
    assert len(sets.training) == 9  # those with foreground
    assert [sets.training.ids[row] for row in sets.own.tolist()] == [
        item.label_item_id for item in items
    ]
    assert sets.synthetic.patients == [item.label_patient_id for item in items]
    films = FilmCache.open(write_film_cache(tmp_path / "films"))
    with pytest.raises(UserError, match=r"holds slices with label maps, but .* holds films"):
        audited_sets(SyntheticSet.open(path), films, "test", None, 2000, False)


def test_too_few_patients_are_no_verdict(tmp_path: Path) -> None:
    for held_out, training, what in (
        (12, 20, r"12 patients that the generator has not seen; .* needs 30"),
        (40, 6, r"6 patients that the generator has seen; .* needs 10"),
    ):
        names = [f"patient_{i:012x}" for i in range(training + held_out)]
        patients = {one: "train" if i < training else "test" for i, one in enumerate(names)}
        root = write_film_cache(tmp_path / f"cache{training}", patients, films=1)
        cache = FilmCache.open(root)
        knowledge = cache.knowledge(cache.indices("train"))
        path = write_set(tmp_path / f"set{training}", [centre(cache, 0)], knowledge)
        with pytest.raises(UserError, match=what + r".*no answer"):
            audited(path, root, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_split_by_image_has_no_held_out_patients(tmp_path: Path) -> None:
    patients = {f"patient_{i:012x}": "train" for i in range(40)}
    root = write_film_cache(tmp_path / "cache", patients, films=2, by="image")
    lines = (root / "items.csv").read_text().splitlines()
    lines[2::2] = [line.replace(",train,", ",test,") for line in lines[2::2]]
    (root / "items.csv").write_text("\n".join(lines) + "\n")
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["sha256_items"] = sha256_of(root / "items.csv")
    (root / "manifest.json").write_text(json.dumps(manifest))
    cache = FilmCache.open(root)
    learnt = cache.knowledge(cache.indices("train"))
    path = write_set(tmp_path / "set", [centre(cache, 0)], learnt)
    with pytest.raises(
        UserError, match=r"0 patients that the generator has not seen.*split by image, so most"
    ):
        audited(path, root, tmp_path / "out")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--num-planted=3"], "--num-planted 3: expected 20 or more"),
        (["--num-images=0"], "--num-images is 0; it must be 1 or more"),
        (["--num-held-out=0"], "--num-held-out is 0"),
        (["--weights=w.safetensors"], "--weights: needs --extractor .* none was given"),
        (["--extractor=random_vgg", "--weights=w.pth"], "random_vgg uses no weights file"),
        (["--extractor=vgg"], "'vgg': no such feature extractor"),
        (["--extractor=timm:resnet18"], "needs its weights as a file"),
    ],
)
def test_flags_that_make_no_sense(tmp_path: Path, flags: list[str], sentence: str) -> None:
    words = ["audit", f"--synthetic={tmp_path}", f"--root={tmp_path}", f"--out={tmp_path}/out"]
    with pytest.raises(UserError, match=sentence):
        evaluate.main([*words, *flags])


def test_size_that_is_no_fraction_of_the_caches(films_root: Path, tmp_path: Path) -> None:
    path = write_set(tmp_path / "set", [np.zeros((24, 24), np.uint8)], Knowledge())
    with pytest.raises(UserError, match=r"images of 24 px, but .* holds 32 px"):
        audited(path, films_root, tmp_path / "out")


def numbers(**changed: Any) -> Mapping[str, Any]:
    """A clean audit, and what differs from it."""
    return {
        "num_synthetic": 1000,
        "num_held_out_images": 500,
        "flagged": 9,
        "held_out_flagged_share": 0.01,
        "p_flagged": 0.6,
        "above_every_held_out": 1,
        "p_above_every_held_out": 0.7,
        "like_a_plain_copy": 0,
        "planted_found_share": 0.97,
        "smallest_share_shown": 0.013,
        "copies_at_most": 0.008,
        "planted": [
            {"disguise": "plain", "copies_at_most": 0.009},
            {"disguise": "noise 0.2", "copies_at_most": 0.715},
        ],
        "by_distance": {},
    } | changed


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({}, NOTHING_FOUND, "found no copies. With 95 % confidence, at most 0.8 % of the set are "
         "copies mixed evenly over the 2 planted kinds; if all were of the kind “noise 0.2”, at "
         "most 71.5 %. They find 97.0 % of the planted copies; if 1.3 % of the set were copies "
         "mixed like these, they would say so in 95 of 100 cases."),
        ({"planted": [{"disguise": "noise 0.2", "copies_at_most": 1.0}]}, NOTHING_FOUND,
         "if all were of the kind “noise 0.2”, no share can be excluded. They find"),
        ({"copies_at_most": 1.0}, NOTHING_FOUND, "No share of copies can be excluded."),
        ({"p_flagged": 0.001, "flagged": 40, "above_every_held_out": 30}, COPIES,
         "30 of 1,000 images resemble training images more than any of 500 held-out images does."),
        ({"p_flagged": 0.001, "flagged": 40, "above_every_held_out": 0}, COPIES,
         "40 of 1,000 images resemble training images more than 99.0 % of held-out images do."),
        ({"like_a_plain_copy": 1}, COPIES, "1 of 1,000 images resembles training images more"),
        ({"p_above_every_held_out": 0.03, "above_every_held_out": 5}, NO_ANSWER,
         "any of 500 held-out images does. That may be chance (p = 0.03), so this is no answer"),
        ({"like_a_plain_copy": None}, NOTHING_FOUND, "found no copies"),
        ({"planted_found_share": 0.1, "smallest_share_shown": 0.4}, NO_ANSWER,
         "This is no answer"),
        ({"smallest_share_shown": None}, NO_ANSWER, "This is no answer"),
        ({"by_distance": {"any": {"membership": {"succeeds": True},
                                  "reidentification": {"succeeds": False}}}}, NOTHING_FOUND,
         "But the set reveals training patients in another way: a membership attack did better"),
    ],
)  # fmt: skip
def test_verdict(changed: dict[str, Any], kind: str, words: str) -> None:
    result = numbers(**changed)
    assert kind_of(result) == kind
    assert words in headline(result)
