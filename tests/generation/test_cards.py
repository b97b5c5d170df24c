"""Cards: seven headings, what is known and what is not, terms, and a header that the hub reads."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import DatasetCard, ModelCard

import evaluate
import generate
from cards.finish import finish_synthetic_set, record_audit, record_evaluation
from cards.header import licence_fields
from cards.page import HEADINGS
from datamodules.choice.synthetic_films import classes_of
from datamodules.synthetic import SyntheticItem, SyntheticSet
from evaluation.images.record import record_of
from knowledge import Knowledge
from licences import PHANTOM, Licence, known_data
from private_paths import command_for_others
from provenance import UserError, library_versions, read_json, sha256_of, write_json_atomic
from tests.audit.test_command import write_set
from tests.conftest import write_film_cache
from tests.gan_runs import trained
from tests.generation.test_card import AUDIT

ORIGIN = {
    "checkpoint_sha256": "c" * 64,
    "images_seen": 1,
    "training_patients": ["patient_0123456789ab", "patient_ba9876543210"],
    "split_id": "e" * 64,
}


def finished(root: Path, items: list[SyntheticItem], *licences: Licence, **more: Any) -> str:
    manifest = {
        "dataset": "chest_xray",
        "image_size": 8,
        "seed": 0,
        "versions": library_versions(),
        "generator": ORIGIN,
        "licences": [one.plain() for one in licences or [Licence()]],
        **more,
    }
    finish_synthetic_set(root, items, manifest, "python generate.py --seed 0")
    return (root / "README.md").read_text()


def of_classes(number: int) -> list[SyntheticItem]:
    names = ("normal", "abnormal")
    return [SyntheticItem(f"made_{i}", i, label=names[i % 4 == 0]) for i in range(number)]


def test_a_card_has_the_seven_headings_and_says_what_was_not_measured(tmp_path: Path) -> None:
    card = finished(tmp_path, of_classes(8), known_data("kits19"))
    found = re.findall(r"^## (\w+):", card, re.MULTILINE)
    assert found == [*HEADINGS]
    assert [*read_json(tmp_path / "card.json")["sections"]] == found
    assert card.count("not measured: `python evaluate.py images") == 2
    assert "not audited: `python evaluate.py audit --synthetic SET" in card
    assert "normal 75.0 %, abnormal 25.0 %" in card
    assert "2 patients, 1 image seen" in card
    assert "patient_0123" not in card + (tmp_path / "card.json").read_text()
    assert "- **KiTS19: CC BY-NC-SA 4.0**" in card
    assert "  - share-alike: what is made over from the data is shared under CC BY-NC-SA" in card
    assert "Heller et al. 2019" in card.partition("## How to cite")[2]


@pytest.mark.parametrize(
    ("image_format", "window", "of_images", "of_label_maps"),
    [
        ("png", None, "each PNG file", ""),
        ("npy", None, "arrays cannot say it", "; label maps are PNG files"),
        (
            "dicom",
            {"width_hu": 400, "center_hu": 40},
            "SyntheticData (0008,001C)",
            "; label maps are NIfTI",
        ),
        ("secondary_capture", None, "SyntheticData (0008,001C)", "; label maps are NIfTI"),
        ("nifti", {"width_hu": 400, "center_hu": 40}, "each NIfTI file (descrip and", ""),
    ],
)
def test_a_card_says_of_its_format_where_the_marks_are(
    tmp_path: Path,
    image_format: str,
    window: dict[str, Any] | None,
    of_images: str,
    of_label_maps: str,
) -> None:
    told = {"image_format": image_format} | ({"window": window} if window else {})
    painted = [SyntheticItem("a", 0, "slice_1", "patient_1", (60, 4))]
    card = finished(tmp_path / "slices", painted, **told, class_names=["background", "kidney"])
    [row] = [line for line in card.splitlines() if line.startswith("| marked synthetic")]
    assert of_images in row
    assert of_label_maps in row
    assert ("PNG" in row) == (image_format in ("png", "npy"))
    assert ("-160 to 240 HU" in card) == (window is not None)
    assert ("8-bit grey" in card) == ("8 bits, 0 to 255" in card) == (window is None)
    without = finished(tmp_path / "films", of_classes(2), **told)
    assert "label maps are" not in without
    if image_format == "png":
        finished(tmp_path / "of_earlier", painted, class_names=["background", "kidney"])
        earlier = (tmp_path / "of_earlier/README.md").read_text()
        assert row in earlier


def test_a_card_offers_no_training_that_refuses_the_set(tmp_path: Path) -> None:
    labelled = finished(tmp_path / "labelled", of_classes(3))
    assert "| use | to join the training split of a model" in labelled
    for name, items, whose in (
        ("none", [SyntheticItem("a", 0), SyntheticItem("b", 1)], "none of its images has a class"),
        ("some", [*of_classes(3), SyntheticItem("b", 1)], "1 image without a class"),
    ):
        card = finished(tmp_path / name, items)
        assert f"A classifier cannot learn from it: {whose}" in card
        assert "a GAN without classes" in card
        with pytest.raises(UserError, match="has no label, but this run tells apart"):
            classes_of(SyntheticSet.open(tmp_path / name), ["normal", "abnormal"])
    slices = finished(tmp_path / "slices", [SyntheticItem("a", 0)], shows="slices")
    assert "No training takes slices without label maps" in slices
    assert "train.py fit --data.synthetic" not in slices


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "generate.py --checkpoint 'H Doe/a.ckpt' b.ckpt --balance /Doe --out Doe --seed 0",
            "generate.py --checkpoint CHECKPOINT CHECKPOINT_2 --balance CACHE --out SET --seed 0",
        ),
        (
            "prepare.py synthetic --trained-on Doe --like Doe --labels none --licence 'A: b'",
            "prepare.py synthetic --trained-on CACHE --like CACHE --labels none --licence 'A: b'",
        ),
        (
            "prepare.py synthetic --trained-on unknown --labels Doe.csv --label x --out Doe",
            "prepare.py synthetic --trained-on unknown --labels LABELS --label x --out SET",
        ),
        (
            "evaluate.py audit --synthetic a --control-set b --data.root Doe --out Doe",
            "evaluate.py audit --synthetic SET --control-set SET_2 --data.root CACHE --out FOLDER",
        ),
    ],
)
def test_a_command_that_is_handed_on_names_no_file(
    tmp_path: Path, command: str, expected: str
) -> None:
    assert command_for_others(f"python {command}") == f"python {expected}"
    assert command_for_others("not recorded") == "not recorded"
    # A set of an earlier version has the names in its manifest, by which it is known.
    items = of_classes(2)
    finished(tmp_path, items)
    made = SyntheticSet.open(tmp_path)
    known_by = {**made.manifest, "command": f"python {command}"}
    write_json_atomic(tmp_path / "manifest.json", known_by)
    record_audit(tmp_path, AUDIT)
    for name in ("README.md", "card.json"):
        assert "Doe" not in (tmp_path / name).read_text()
        assert "python " + expected.partition(" ")[0] in (tmp_path / name).read_text()
    assert SyntheticSet.open(tmp_path).manifest["command"] == f"python {command}"


@pytest.mark.parametrize(
    ("licences", "fields"),
    [
        ([known_data("kits19")], {"license": "cc-by-nc-sa-4.0"}),
        ([known_data("kermany"), known_data("medmnist")], {"license": "cc-by-4.0"}),
        ([known_data("kits19"), Licence()], {"license": "unknown"}),
        ([known_data("3d-ircadb")], {"license": "other", "license_name": "cc-by-nc-nd-4.0"}),
        ([known_data("nih"), known_data("kits19")], {"license_name": "terms-of-several-data"}),
        ([known_data("own")], {"license": "other", "license_name": "own-data"}),
        ([PHANTOM], {"license": "other", "license_name": "nobody-s"}),
    ],
)
def test_the_header_never_offers_more_than_the_data_allow(
    licences: list[Licence], fields: dict[str, str]
) -> None:
    found = licence_fields(licences)
    assert {name: found[name] for name in fields} == fields
    assert ("license_link" in found) == (found["license"] == "other")


@pytest.mark.parametrize(
    ("number", "size"), [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (12_000, "10K<n<100K")]
)
def test_hugging_face_reads_the_header_offline(tmp_path: Path, number: int, size: str) -> None:
    text = finished(tmp_path, of_classes(number), known_data("3d-ircadb"))
    data = DatasetCard(text).data.to_dict()
    assert data["size_categories"] == [size]
    assert data["task_categories"] == ["image-classification"]
    assert data["annotations_creators"] == ["machine-generated"]
    assert data["source_datasets"] == ["extended|other-3d-ircadb"]
    assert data["license"] == "other"
    assert "synthetic" in data["tags"]
    assert data == read_json(tmp_path / "card.json")["header"]


def test_slices_and_films_without_classes_have_their_tasks(tmp_path: Path) -> None:
    slices = [
        SyntheticItem("a", 1, "case_1/0001", "case_1", (60, 4, 0)),
        SyntheticItem("b", 2, "case_1/0001", "case_1", (50, 10, 4)),
    ]
    names = ["background", "kidney", "tumour"]
    text = finished(tmp_path / "slices", slices, known_data("kits19"), class_names=names)
    assert DatasetCard(text).data.to_dict()["task_categories"] == ["image-segmentation"]
    assert "images with each structure: kidney in 2, tumour in 1" in text
    assert "1 different, each used at most 2 times" in text
    assert "case_1" not in text
    text = finished(tmp_path / "films", [SyntheticItem("a", 1)])
    assert "unconditional-image-generation" in text
    assert DatasetCard(text).data.to_dict()["license"] == "unknown"


def test_names_of_others_are_text_on_the_page(tmp_path: Path) -> None:
    licence = Licence("![x](http://x/y.png) <script>", "a\x1b[31m")
    text = finished(tmp_path, of_classes(2), licence, dataset="![x](http://x/y.png)")
    body = text.partition("\n---\n")[2]
    assert not re.search(r"(?<!\\)!\[|<script|\x1b", body)
    assert DatasetCard(text).data.to_dict()["license_name"] == "x-http-x-y.png-script"


def test_an_audit_and_an_evaluation_fill_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, noise = write_film_cache(tmp_path / "films"), np.random.default_rng(0)
    images = [noise.integers(0, 256, (32, 32)).astype(np.uint8) for _ in range(12)]
    root = write_set(tmp_path / "set", images, Knowledge(frozenset({"nobody"})))
    known_by = SyntheticSet.open(root).content_sha256
    words = ["images", "--synthetic", str(root), "--real", str(films), "--device", "cpu"]
    words += ["--split", "train"]
    assert evaluate.main([*words, "--out", str(tmp_path / "scores"), "--record"]) == 0
    capsys.readouterr()
    bounds = {"upper_bound": 0.13, "upper_bound_of_any_kind": 0.71}
    record_audit(root, {**AUDIT, "n": 30, "flagged": 2, **bounds})
    card, made = (root / "README.md").read_text(), SyntheticSet.open(root)
    assert made.content_sha256 == known_by
    result = read_json(tmp_path / "scores/evaluation.json")
    entry = result["distances"]["frechet_random_vgg"]
    assert f"{entry['value']:.4g} [{entry['low']:.4g} to {entry['high']:.4g}]" in card
    assert f"{len(made.items)} synthetic images, {result['num_real']} real of" in card
    assert (
        "30, of them flagged 2; at most 13 % are copies mixed evenly over the planted kinds, at "
        "most 71 % if all are of one kind (95 % bound)"
    ) in card
    for nothing in ("not measured: `python evaluate.py images", "Not audited", str(tmp_path)):
        assert nothing not in card
    # The same again takes its place; another split stands beside it.
    record = record_of(tmp_path / "scores")
    record_evaluation(root, record)
    record_evaluation(root, {**record, "split": "test"})
    told = SyntheticSet.open(root).manifest
    assert [one["split"] for one in told["evaluations"]] == ["train", "test"]
    assert told["audit"]["n"] == 30
    with pytest.raises(UserError, match="is of another set"):
        record_evaluation(root, {**record, "synthetic_sha256": "0" * 64})


def card_of(*words: str) -> int:
    return generate.main(["card", *words])


def test_a_generator_has_a_card_for_whoever_gets_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = write_film_cache(tmp_path / "films")
    checkpoint = trained(films, "dcgan", tmp_path / "run", "--distance.num_images=8")
    assert card_of("--checkpoint", str(checkpoint), "--licence", "kermany") == 0
    assert "attribution: name Kermany's chest films" in capsys.readouterr().out
    folder = tmp_path / "run/model_card"
    text = (folder / "README.md").read_text()
    assert re.findall(r"^## (\w+):", text, re.MULTILINE) == [*HEADINGS]
    data = ModelCard(text).data
    assert (data.license, data.library_name) == ("cc-by-4.0", "understudy")
    assert data.pipeline_tag == "unconditional-image-generation"
    told = read_json(folder / "card.json")["metrics"]
    distance = next(one for one in data.eval_results or [] if "frechet" in one.metric_type)
    assert distance.metric_value == told[distance.metric_type]["last"]
    assert f"{distance.metric_value:.4g} at the end" in text
    assert re.search(r"\| trained on \| 4 patients, \d+ images seen \|", text)
    assert "**Not audited.**" in text
    assert f"`{sha256_of(checkpoint)}`" in text
    assert str(tmp_path) not in text + (folder / "card.json").read_text()
    assert "patient_0" not in text + (folder / "card.json").read_text()
    # Again, without the run it lies in: what nobody knows then is not measured.
    assert card_of("--checkpoint", str(checkpoint)) == 0
    assert ModelCard((folder / "README.md").read_text()).data.license == "unknown"
    alone = tmp_path / "handed/on/given.ckpt"
    alone.parent.mkdir(parents=True)
    for ending in ("", ".sha256"):
        shutil.copy(f"{checkpoint}{ending}", f"{alone}{ending}")
    assert card_of("--checkpoint", str(alone), "--out", str(tmp_path / "card")) == 0
    moved = (tmp_path / "card/README.md").read_text()
    assert moved.count("not measured: make a set") == 2
    assert ModelCard(moved).data.eval_results is None
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.md").write_text("mine")
    with pytest.raises(UserError, match="holds something else than the card of this checkpoint"):
        card_of("--checkpoint", str(alone), "--out", str(full))
    assert [path.name for path in full.iterdir()] == ["thesis.md"]


def test_a_set_of_an_earlier_version_gets_a_card_and_a_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path, of_classes(3))
    manifest = read_json(tmp_path / "manifest.json")
    for key in ("licences", "audit", "evaluations", "sha256", "sha256_files"):
        del manifest[key]
    write_json_atomic(tmp_path / "manifest.json", manifest)
    known_by = SyntheticSet.open(tmp_path).content_sha256
    assert card_of("--synthetic", str(tmp_path)) == 0
    assert "not stated" in capsys.readouterr().out
    assert card_of("--synthetic", str(tmp_path), "--licence", "nih") == 0
    assert "NIH ChestX-ray14" in capsys.readouterr().out
    made = SyntheticSet.open(tmp_path)
    assert made.licences == [known_data("nih")]
    assert made.content_sha256 == known_by
    assert "- **NIH ChestX-ray14: free use" in (tmp_path / "README.md").read_text()
    assert card_of("--synthetic", str(tmp_path), "--licence", "own") == 0  # it was wrong
    assert SyntheticSet.open(tmp_path).licences == [known_data("own")]
    with pytest.raises(UserError, match="give either --synthetic SET or --checkpoint"):
        card_of("--licence", "own")
