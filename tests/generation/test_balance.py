"""generate.py with a generator of each class: exact numbers, equal images, whom the set knows."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cards.facts
import generate
import generation.generators
from datamodules import ChestXrayDataModule
from datamodules.synthetic import SyntheticSet
from generation.class_shortfalls import class_shortfalls
from generation.generators import TrainedGenerator
from generation.one_set import one_set
from lightning_modules.checkpoint_files import load_checkpoint_file, save_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import load_module
from provenance import UserError, sha256_of
from tests import gan_runs
from tests.conftest import write_film_cache

STRANGER = "patient_ffffffffffff"

Trained = Callable[..., Path]


def write_films(root: Path, **counts: int) -> Path:
    """So many training films of each class, two of each patient; one of each in the others."""
    names = [name for name, count in counts.items() for _ in range(count)]
    training = {f"t{i:03d}": "train" for i in range(len(names) // 2)}
    held_out = {f"{split}{i}": split for split in ("val", "test") for i in range(len(counts))}
    held_labels = [name for _ in ("val", "test") for name in counts for _ in range(2)]
    patients = {**training, **held_out}
    return write_film_cache(root, patients=patients, films=2, labels=[*names, *held_labels])


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 normal films and 8 abnormal ones to train with."""
    return write_films(tmp_path_factory.mktemp("cache") / "films", normal=16, abnormal=8)


def trained(films: Path, run_folder: Path, *more: str) -> Path:
    words = ["--data.label_column=label"]
    words += ["--model.generator.width=4", "--model.discriminator.width=4"]
    return gan_runs.trained(films, "dcgan", run_folder, *words, *more)


@pytest.fixture(scope="module")
def normal(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = ("--data.only_label=normal", "--data.imbalance=4")
    return trained(films, tmp_path_factory.mktemp("normal"), *more)


@pytest.fixture(scope="module")
def abnormal(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = ("--data.only_label=abnormal", "--data.imbalance=4")
    return trained(films, tmp_path_factory.mktemp("abnormal"), *more)


def make(checkpoint: Path | list[Path], out: Path, **settings: Any) -> Path:
    return generate.generate(checkpoint, out=out, show_progress=False, device="cpu", **settings)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def generator(path: Path, num_images: int = 5, label: str | None = None) -> TrainedGenerator:
    module, record = load_module(path)
    own = record["data"]["init_args"]["only_label"]
    return TrainedGenerator(path, module, record, num_images, label or own)  # type: ignore[arg-type]


def with_data(one: TrainedGenerator, **settings: Any) -> TrainedGenerator:
    """The generator as if its data had had other settings."""
    data = {**one.record["data"], "init_args": {**one.data, **settings}}
    return replace(one, record={**one.record, "data": data})


# ---- one set of several generators ------------------------------------------------------------


def test_a_set_has_so_many_of_each_class_and_each_is_its_own_generators(
    films: Path, normal: Path, abnormal: Path, tmp_path: Path
) -> None:
    out = make([abnormal, normal], tmp_path / "both", num_images=11, seed=2)
    made = SyntheticSet.open(out)
    assert [item.label for item in made.items] == ["normal"] * 11 + ["abnormal"] * 11
    alone = [files(make(one, tmp_path / one.parts[-3], num_images=11, seed=2, batch_size=3))
             for one in (normal, abnormal)]  # fmt: skip
    assert list(files(out).values()) == [*alone[0].values(), *alone[1].values()]
    assert alone[0]["synthetic_000000.png"] != alone[1]["synthetic_000000.png"]
    other_order = make([normal, abnormal], tmp_path / "order", num_images=3, seed=2)
    assert files(other_order).items() < files(out).items()

    origin = made.manifest["generator"]
    hashes = [sha256_of(normal), sha256_of(abnormal)]
    assert origin["checkpoint_sha256"] == hashes
    assert [one["checkpoint_sha256"] for one in origin["generators"]] == hashes
    assert [one["label"] for one in origin["generators"]] == ["normal", "abnormal"]
    assert [one["imbalance"] for one in origin["generators"]] == [4, 4]
    assert [one["images_seen"] for one in origin["generators"]] == [16, 4]
    assert origin["images_seen"] == 20
    assert origin["training_patients"] == [f"t{i:03d}" for i in range(12)]
    card = (out / "README.md").read_text()
    for name, sha256 in zip(("normal", "abnormal"), hashes, strict=True):
        assert f"| generator of {name} | GAN, " in card
        assert sha256 in card
    assert "| labels | 11 abnormal, 11 normal |" in card
    assert "--num-images 11 --out SET --seed 2\n" in card
    assert str(tmp_path) not in card + (out / "manifest.json").read_text()
    assert len(ChestXrayDataModule(str(films), synthetic=str(out)).training_set()) == 24 + 22


def test_an_interrupted_set_ends_as_one_that_went_through(
    normal: Path, abnormal: Path, tmp_path: Path
) -> None:
    out = make([normal, abnormal], tmp_path / "set", num_images=10)
    expected, manifest = files(out), (out / "manifest.json").read_bytes()
    (out / "manifest.json").unlink()
    for name in ("0_000003", "0_000009", *(f"1_{index:06d}" for index in range(2, 10))):
        (out / f"images/synthetic_{name}.png").unlink()
    kept = out / "images/synthetic_1_000001.png"
    before = kept.stat().st_mtime_ns
    make([abnormal, normal], out, num_images=10)
    assert files(out) == expected
    assert (out / "manifest.json").read_bytes() == manifest
    assert kept.stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"another synthetic set \(num_images was"):
        make([normal, abnormal], out, num_images=9)
    with pytest.raises(UserError, match=r"checkpoint_sha256 was .*; num_images was .*; label"):
        make(normal, out, num_images=10)


def test_several_checkpoints_are_typed_one_after_the_other(
    normal: Path, abnormal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--num-images", "2", "--device", "cpu", "--checkpoint", str(normal), str(abnormal)]
    assert generate.main([*words, "--out", str(tmp_path / "set")]) == 0
    said = capsys.readouterr().out
    assert f"4 synthetic images (2 normal, 2 abnormal): {tmp_path / 'set'}" in said
    (tmp_path / "c.yaml").write_text(f"checkpoint: {normal}\nnum_images: 1\ndevice: cpu\n")
    assert generate.main(["--config", f"{tmp_path / 'c.yaml'}", "--out", f"{tmp_path / '1'}"]) == 0
    assert "1 synthetic image (1 normal)" in capsys.readouterr().out


def test_balance_makes_what_the_training_split_lacks(
    films: Path, normal: Path, abnormal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = make([normal, abnormal], tmp_path / "set", balance=films)
    made = SyntheticSet.open(out)
    assert Counter(item.label for item in made.items) == {"abnormal": 16 - 4}  # 4: of imbalance 4
    assert "normal is among the largest classes; no film of it is made" in capsys.readouterr().err
    assert files(out) == files(make(abnormal, tmp_path / "alone", num_images=12))
    card = (out / "README.md").read_text()
    assert "--balance CACHE --out SET --seed 0\n" in card
    assert "--num-images" not in card
    assert files(make(abnormal, out, balance=films)) == files(out)  # the same set: it goes on

    data = ChestXrayDataModule(
        str(films), synthetic=str(out), imbalance=4, balance="synthetic"
    ).training_set()
    assert data.labels is not None
    assert Counter(data.labels.tolist()) == {0: 16, 1: 16}
    assert not capsys.readouterr().err  # the generators saw what this run sees


def test_a_generator_of_few_films_says_how_many_and_whose(normal: Path) -> None:
    one = with_data(generator(normal), num_images=6)
    few = replace(one, record={**one.record, "chosen_patients": ["t000", "t003"]})
    assert few.in_manifest["trained_on_at_most"] == 6
    assert few.in_manifest["trained_on_patients"] == ["t000", "t003"]
    assert "trained_on_patients" not in generator(normal).in_manifest
    origin = {"training_patients": ["t000", "t001", "t003"], "images_seen": 8}
    row = cards.facts._trained_on(origin, [few.in_manifest])
    assert row.startswith("3 patients, of whom 2 were trained on (at most 6 images), 8 images seen")


def test_numbers_of_three_classes(normal: Path, tmp_path: Path) -> None:
    root = write_films(tmp_path / "c", normal=18, abnormal=10, effusion=6)
    split = {"split_id": "test-patient", "by": "patient", "train": []}
    one = generator(normal)
    record = {**one.record, "split": split, "class_names": ["normal", "abnormal", "effusion"]}
    makers = [
        with_data(replace(one, record=record, label=name), imbalance=None)
        for name in ("effusion", "normal", "abnormal")
    ]
    assert class_shortfalls(makers, root) == {"normal": 0, "abnormal": 8, "effusion": 12}
    chosen = one_set(makers, root)
    assert [(m.label, m.class_index, m.num_images) for m in chosen] == [
        ("abnormal", 1, 8), ("effusion", 2, 12),
    ]  # fmt: skip
    few = [*makers[:2], with_data(makers[2], num_images=6)]
    with pytest.raises(UserError, match=r"num_images 6, which counts the films of its own class"):
        class_shortfalls(few, root)
    rarer = [with_data(maker, imbalance=9.0) for maker in makers]
    assert class_shortfalls(rarer, root) == {"normal": 0, "abnormal": 16, "effusion": 16}
    everything = one_set(makers)
    assert [(m.label, m.class_index, m.num_images) for m in everything] == [
        ("normal", 0, 5), ("abnormal", 1, 5), ("effusion", 2, 5),
    ]  # fmt: skip


def test_a_balance_that_cannot_be_made_is_refused(
    films: Path, normal: Path, abnormal: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    with pytest.raises(UserError, match=r"12 films of abnormal are lacking .*4 abnormal.*no --che"):
        make(normal, out, balance=films)
    with pytest.raises(UserError, match="a generator makes effusion, but its classes are normal"):
        make(abnormal, out, balance=films, label="effusion")
    with pytest.raises(UserError, match="--num-images 5: --balance counts for itself"):
        make(abnormal, out, balance=films, num_images=5)
    one, other = generator(normal), generator(abnormal)
    equal = write_films(tmp_path / "equal", normal=6, abnormal=6)
    settings = {"imbalance": None}
    with pytest.raises(UserError, match=r"equally large already \(6 normal, 6 abnormal\)\. There"):
        class_shortfalls([with_data(one, **settings), with_data(other, **settings)], equal)
    with pytest.raises(UserError, match=r"different --data.imbalance \(4.0 and none\)"):
        class_shortfalls([one, with_data(other, imbalance=None)], films)
    with pytest.raises(UserError, match=r"different --seed_everything \(0 and 7\)"):
        class_shortfalls([one, with_data(other, seed=7)], films)
    split = {**other.record["split"], "split_id": "elsewhere"}
    with pytest.raises(UserError, match="is not split into the patients that"):
        class_shortfalls([replace(other, record={**other.record, "split": split})], films)
    assert not out.exists()


# ---- what makes no common set -----------------------------------------------------------------


def test_generators_that_make_no_common_set_are_refused(
    films: Path, normal: Path, abnormal: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    with pytest.raises(UserError, match=r"all make normal\. Give one generator of each class"):
        make([normal, normal], out, num_images=2)
    with pytest.raises(UserError, match="--label normal: of several generators each gives"):
        make([normal, abnormal], out, num_images=2, label="normal")
    with pytest.raises(UserError, match=r"between\.gif: leads from image to image of one gener"):
        make([normal, abnormal], out, num_images=2, interpolation=tmp_path / "between.gif")
    with pytest.raises(UserError, match="--checkpoint: the list is empty"):
        make([], out)
    one, other = generator(normal), generator(abnormal)
    with pytest.raises(UserError, match="was trained on all classes together, so nobody knows"):
        one_set([one, replace(other, label=None)])
    with pytest.raises(UserError, match="no common set: image size 32 and 64"):
        one_set([one, replace(other, record={**other.record, "image_size": 64})])
    split = {**other.record["split"], "split_id": "elsewhere"}
    with pytest.raises(UserError, match="were trained on different patient splits"):
        one_set([one, replace(other, record={**other.record, "split": split})])
    assert not out.exists()


def test_a_generator_passes_on_whom_the_generator_of_its_synthetic_films_knew(
    films: Path, normal: Path, tmp_path: Path
) -> None:
    earlier = make(normal, tmp_path / "earlier", num_images=4)
    manifest = json.loads((earlier / "manifest.json").read_text())
    manifest["generator"]["training_patients"].append(STRANGER)  # of another hospital
    (earlier / "manifest.json").write_text(json.dumps(manifest))
    mixed = trained(films, tmp_path / "mixed", f"--data.synthetic={earlier}")
    assert earlier.name == load_module(mixed)[1]["data"]["init_args"]["synthetic"]  # no full path

    out = make(mixed, tmp_path / "later", num_images=2, label="abnormal")
    assert STRANGER in SyntheticSet.open(out).manifest["generator"]["training_patients"]
    moved = {STRANGER: "test", "v": "val", **{f"t{i:03d}": "train" for i in range(12)}}
    elsewhere = write_film_cache(tmp_path / "elsewhere", patients=moved)
    with pytest.raises(UserError, match=rf"leaks 1 patient.*trained on this patient: {STRANGER}"):
        ChestXrayDataModule(str(elsewhere), synthetic=str(out)).training_set()
    both = [replace(generator(mixed, 2, "abnormal"), label="abnormal"), generator(normal, 2)]
    assert STRANGER in set().union(*(one.seen().patients for one in both))
    assert STRANGER not in both[1].seen().patients

    content = load_checkpoint_file(mixed)
    # As the checkpoints of an earlier version, whose set is asked.
    del content[RECORD_KEY]["also_seen"]
    save_checkpoint_file(content, mixed)
    assert STRANGER in generator(mixed).seen().patients
    (earlier / "manifest.json").rename(tmp_path / "gone.json")
    with pytest.raises(UserError, match=r"was trained with the synthetic set .*earlier, which is"):
        make(mixed, tmp_path / "unknown", num_images=2, label="abnormal")
    assert not (tmp_path / "unknown").exists()


def test_the_union_of_several_is_what_the_leak_check_reads(
    films: Path, normal: Path, abnormal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Path) -> Any:
        """The abnormal generator, as if it had also seen a stranger, by patients and by images."""
        module, record = load_module(path)
        by_image = {**record["split"], "by": "image", "training_items": [path.parts[-3]]}
        if path == abnormal:
            by_image["train"] = [*by_image["train"], STRANGER]
        return module, {**record, "split": by_image}

    monkeypatch.setattr(generation.generators, "load_module", opened)
    made = SyntheticSet.open(make([normal, abnormal], tmp_path / "set", num_images=1))
    origin = made.manifest["generator"]
    assert origin["training_patients"] == [STRANGER, *(f"t{i:03d}" for i in range(12))]
    assert origin["training_items"] == sorted([normal.parts[-3], abnormal.parts[-3]])
    moved = {STRANGER: "val", "x": "test", **{f"t{i:03d}": "train" for i in range(12)}}
    root = write_film_cache(tmp_path / "elsewhere", patients=moved)
    with pytest.raises(UserError, match=f"leaks 1 patient.*{STRANGER}"):
        ChestXrayDataModule(str(root), synthetic=str(made.root)).training_set()
