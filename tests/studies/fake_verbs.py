"""Verbs that learn nothing but write what the real ones write, for tests of the study.

Scores follow a seeded model: a patient's ease, a slice's, a gain per scenario, noise per seed.
Behaviour is steered by files in the folder of UNDERSTUDY_FAKE, since workers are other processes.
"""

import hashlib
import json
import os
import signal
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.synthetic import SyntheticSet, found_labels_in
from gates.names import OF_AUDITS
from gates.rules import parse_rules
from provenance import UserError, sha256_of
from studies.run.verbs import Verbs

CLASS_NAMES = ["background", "kidney", "tumour"]
FILM_CLASSES = ("normal", "abnormal")
PATIENTS = 8
SLICES = 4


@dataclass(frozen=True)
class FakeFit:
    run_folder: Path
    best_checkpoint: Path
    last_checkpoint: Path
    images_seen: int
    real_images_seen: int
    seconds: float


def load_verbs(variables: dict[str, str] | None = None) -> Verbs:
    """The verbs, in a process whose environment lacks `variables`."""
    os.environ.update(variables or {})
    note("load_verbs")
    return Verbs(fit, generate, evaluate, evaluate_images, audit, rehearse, labels)


def control() -> Path:
    return Path(os.environ["UNDERSTUDY_FAKE"])


def note(event: str) -> None:
    with open(control() / "events.txt", "a") as stream:
        stream.write(f"{event}\n")


def events() -> list[str]:
    path = control() / "events.txt"
    return path.read_text().split("\n")[:-1] if path.is_file() else []


def order(name: str, *words: str) -> None:
    """Steer a run, such as `order("3__fpn__seed0", "fail")`."""
    (control() / name).write_text(" ".join(words))


def ordered(name: str) -> str:
    path = control() / name
    return path.read_text() if path.is_file() else ""


@dataclass(frozen=True)
class FakeRehearsal:
    steps: int
    images: int
    real_images: int
    device: str = ""
    seconds: float | None = None
    num_timed: int = 0
    checkpoint_bytes: int | None = None
    task: str = ""
    class_names: tuple[str, ...] = ()


def rehearse(args: list[str], timed: bool) -> FakeRehearsal:
    note(f"rehearse {'timed' if timed else 'counted'} {' '.join(args)}")
    if ordered("refuse") and ordered("refuse") in args:
        raise UserError(f"{ordered('refuse')}: no such flag.")
    images, config = shown(args), Path(str(flag(args, "--config"))).stem
    if not timed and config == "vgg":
        return FakeRehearsal(
            images[0] // 8, *images, task="classification", class_names=FILM_CLASSES
        )
    if not timed and config in ("light", "fpn"):
        classes = tuple(CLASS_NAMES)
        return FakeRehearsal(images[0] // 8, *images, task="segmentation", class_names=classes)
    measured = ("cpu", 0.5, 16, 1_000_000) if timed else ()
    return FakeRehearsal(images[0] // 8, *images, *measured)


def flag(args: list[str], name: str) -> str | None:
    return args[args.index(name) + 1] if name in args else None


def fit(args: list[str]) -> FakeFit:
    run_folder = Path(str(flag(args, "--run_folder")))
    resume = flag(args, "--resume") == "true"
    what = ordered(run_folder.name)
    note(f"fit {run_folder.name}{' resumed' if resume else ''}")
    print(f"training {run_folder.name}")
    if (run_folder / "config.yaml").exists() and not resume:
        raise FileExistsError(f"{run_folder} holds a run already")
    (run_folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run_folder / "config.yaml").write_text(" ".join(args))
    if what == "fail":
        raise ValueError("the loss is not finite")
    if what == "exit":
        raise SystemExit(2)
    if what == "sleep":
        (run_folder / "checkpoints" / "last.ckpt").write_text("half")
        note(f"sleeping {run_folder.name}")
        time.sleep(600)
    if what == "die" and not resume:
        (run_folder / "checkpoints" / "last.ckpt").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    for name in ("best", "last"):
        (run_folder / "checkpoints" / f"{name}.ckpt").write_text(" ".join(args))
    rng = np.random.default_rng(len(" ".join(args)) + int(str(flag(args, "--seed_everything"))))
    rows = ["images_seen,epoch,name,value"]
    for epoch in range(12):
        seen = 64 * (epoch + 1)
        loss = 0.9 * np.exp(-epoch / 4) + 0.1 + 0.03 * rng.normal()
        gan = run_folder.parent.name == "generators"
        for name in (
            ("train/loss_generator", "train/loss_discriminator") if gan else ("train/loss",)
        ):
            rows.append(f"{seen},{epoch},{name},{loss}")
        if not gan:
            rows.append(f"{seen},{epoch},val/iou_mean,{0.85 - 0.5 * loss + 0.02 * rng.normal()}")
    rows += distances(args, run_folder.name)
    (run_folder / "metrics.csv").write_text("\n".join(rows))
    checkpoints = run_folder / "checkpoints"
    return FakeFit(
        run_folder, checkpoints / "best.ckpt", checkpoints / "last.ckpt", *shown(args), 1.5
    )


def shown(args: list[str]) -> tuple[int, int]:
    """Images shown, and real ones of them: as many synthetic ones as real ones join."""
    control, synthetic = flag(args, "--data.control"), flag(args, "--data.synthetic")
    alone = "--data.real_slices" in args
    if synthetic is None or control == "real":
        return 768, 768
    return (768, 768 if control else 0) if alone else (1536, 1536 if control else 768)


def distances(args: list[str], name: str) -> list[str]:
    """Lines of metrics.csv that `DistancePerEpoch` would log, halving every epoch."""
    extractor = flag(args, "--distance.extractor")
    if extractor is None:
        return []
    start = 100.0 + len(name)
    rows = []
    for epoch in range(0, 12, int(str(flag(args, "--distance.every_epochs")))):
        for short in {extractor.removeprefix("timm:"), "random_vgg"}:
            measured = {short: start * 0.5**epoch, f"{short}_floor": 4.0}
            for key, value in measured.items():
                rows.append(f"{64 * (epoch + 1)},{epoch},val/frechet_{key},{value}")
        for key, value in (("num_real", 60), ("num_generated", 8), ("num_at_floor", 30)):
            rows.append(f"{64 * (epoch + 1)},{epoch},val/{key},{value}")
    return rows


def generate(
    checkpoint: Path | list[Path],
    num_images: int,
    out: Path,
    seed: int,
    labels: Path | None = None,
    with_class: str | None = None,
    into: str | None = None,
    source: Path | None = None,
) -> Path:
    more = (f" into {into}" if into else "") + (f" source {source}" if source else "")
    note(f"generate {out.name} {labels}{more}")
    if ordered("generate") == "fail":
        raise OSError(28, "No space left on device")
    items = []
    for index in range(8):
        mask, image = draw(100 + index)
        for kind, array in (("images", image), ("masks", mask)):
            (out / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(out / kind / f"s{index}.png")
        items.append(
            {
                "id": f"s{index}",
                "seed": seed,
                "label_item_id": f"case_{index:05d}/0001",
                "label_patient_id": f"case_{index:05d}",
                "class_pixels": np.bincount(mask.ravel(), minlength=3).tolist(),
            }
        )
    manifest = {
        "format": "understudy-synthetic",
        "format_version": 1,
        "image_size": 64,
        "items": items,
    }
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


def draw(seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A blob with a smaller blob in it, as (mask, image)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(0.35, 0.65, 2) * size
    mask = (((y - cy) ** 2 + (x - cx) ** 2) < (size / 4) ** 2).astype(np.uint8)
    mask[((y - cy - 5) ** 2 + (x - cx - 5) ** 2) < (size / 10) ** 2] = 2
    image = 70 + 60 * (mask == 1) + 90 * (mask == 2) + rng.normal(0, 12, mask.shape)
    return mask, image.clip(0, 255).astype(np.uint8)


def evaluate(checkpoint: Path, out: Path, root: Path, split: str, seen: str = "refuse") -> dict:
    elsewhere = split == "all" and seen == "exclude"
    name = out.name if elsewhere else out.parent.name
    note(f"external {out.parent.name} {name}" if elsewhere else f"evaluate {name}")
    if elsewhere and ordered("external"):
        raise UserError(ordered("external"))
    if ordered(name) == "fail evaluate":
        raise RuntimeError("evaluation broke")
    scenario, model, _ = name.split("__")
    if model.startswith("vgg"):
        return classification(name, scenario, out, elsewhere)
    gains = json.loads(ordered("gains") or "{}")
    gain = gains.get(scenario, 0.0) if isinstance(gains, dict) else 0.0
    ease = np.random.default_rng(1).normal(0, 0.05, PATIENTS)
    noise = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    base = {"unet_light": 0.62, "unet_heavy": 0.7}.get(model, 0.74)
    images, patients = [], []
    for index in range(PATIENTS):
        patient = f"case_{index:05d}"
        level = base + ease[index] + gain + 0.01 * noise.normal()
        for row in range(SLICES):
            kidney = float(np.clip(level + 0.03 * noise.normal(), 0, 1))
            tumour = float(np.clip(level - 0.25 + 0.06 * noise.normal(), 0, 1))
            has_tumour = (index + row) % 2 == 0
            foreground = (kidney + tumour) / 2 if has_tumour else kidney
            images.append(
                {
                    "id": f"{patient}/{row:04d}",
                    "patient_id": patient,
                    "iou_mean": (0.98 + 2 * foreground) / 3 if has_tumour else (0.98 + kidney) / 2,
                    "iou_foreground": foreground,
                    "iou_background": 0.98,
                    "iou_kidney": kidney,
                    "iou_tumour": tumour if has_tumour else None,
                }
            )
        patients.append(
            {
                "patient_id": patient,
                "num_images": SLICES,
                "dice_kidney": level + 0.1,
                "dice_tumour": level - 0.1,
                "hd95_kidney": 12.0 - 10 * level,
                "hd95_tumour": None if index == 0 else 30.0 - 20 * level,
                "hd95_unit": "mm",
            }
        )
    keys = [key for key in images[0] if key.startswith("iou")]
    keys += [key for key in patients[0] if key.startswith(("dice", "hd95_")) and "unit" not in key]
    result = {
        "task": "segmentation",
        "split": split,
        "split_by": "patient",
        "class_names": CLASS_NAMES,
        "absent_class": "skip",
        "summary": {
            key: {"value": float(np.mean([i[key] for i in images])) if key == "iou_mean" else 0.5}
            for key in keys
        },
        "images": images,
        "patients": patients,
        "trivial_all_background": {"iou_mean": 0.41, "iou_foreground": 0.0},
        "hd95_undefined": 1,
    }
    out.mkdir(parents=True, exist_ok=True)
    if model != "fpn":
        panel = np.concatenate([draw(i, 160)[1] for i in range(5)], axis=1)
        Image.fromarray(panel).save(out / "predictions.png")
    return result


def classification(name: str, scenario: str, out: Path, elsewhere: bool = False) -> dict:
    """A classifier's evaluation: 40 patients with two films each, better in scenario "good".

    Elsewhere other patients, and weaker scores.
    """
    draws = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    gain = (4.0 if scenario == "good" else 1.0) * (0.3 if elsewhere else 1.0)
    of = "far_" if elsewhere else ""
    images = []
    for patient in range(40):
        label = patient % 2
        for film in range(2):
            logit = gain * (label - 0.5) * 2 + draws.normal()
            probability = float(1 / (1 + np.exp(-logit)))
            likelihood = probability if label else 1 - probability
            images.append(
                {
                    "id": f"{of}film_{patient}_{film}",
                    "patient_id": f"{of}patient_{patient}",
                    "label": label,
                    "prediction": int(probability >= 0.5),
                    "probability": probability,
                    "correct": int((probability >= 0.5) == bool(label)),
                    "log_loss": float(-np.log(likelihood)),
                    "brier": (probability - label) ** 2,
                }
            )
    out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(3, 160)[1]).save(out / "grad_cam.png")
    return {
        "task": "classification",
        "split": "test",
        "split_by": "patient",
        "class_names": [*FILM_CLASSES],
        "images": images,
        "summary": {"auroc": {"value": 0.8}, "accuracy": {"value": 0.7}},
        "roc": {"false_positive_rate": [0.0, 0.3, 1.0], "true_positive_rate": [0.0, 0.8, 1.0]},
        "trivial_majority_class": {"class": "normal", "accuracy": 0.5, "auroc": 0.5},
    }


def evaluate_images(
    synthetic: Path,
    root: Path,
    out: Path,
    split: str,
    extractor: str,
    weights: Path | None = None,
    num_images: int | None = None,
) -> dict:
    """Distances that depend on the cell's name alone, in the shape of evaluate.py images."""
    note(f"evaluate_images {synthetic.name} {extractor} {weights}")
    short = extractor.removeprefix("timm:")
    value = 20.0 + int(hashlib.sha256(synthetic.name.encode()).hexdigest()[:4], 16) / 1000
    entry = {"value": value, "low": value - 3, "high": value + 3}
    floor = {"floor": 4.0, "value_at_floor_size": value + 1, "num_images_at_floor": 30}
    out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([draw(i)[1] for i in range(4)], 1)).save(out / "sheet.png")
    return {
        "split": split,
        "num_real": 60,
        "num_real_patients": 50,
        "num_synthetic": 8,
        "distances": {f"frechet_{short}": {**entry, **floor}},
        "scores": {f"precision_{short}": {"value": 0.5, "low": 0.4, "high": 0.6}},
    }


def audit(
    synthetic: Path,
    root: Path,
    out: Path,
    require: str | None,
    split: str,
    num_images: int | None,
    num_held_out: int,
    num_planted: int,
) -> dict:
    """In the shape of evaluate.py audit; `order("audit", "copies")` finds some, "fail" fails."""
    note(f"audit {synthetic.name} {require}")
    if ordered("audit") == "fail":
        raise UserError(
            f"{root}: has images of 3 patients that the generator has not seen; an audit needs 30."
        )
    copying = ordered("audit") == "copies"
    flagged = 3 if copying else 0
    rules = [str(rule) for rule in parse_rules(require, OF_AUDITS)]
    told = "3 of 8 images resemble" if copying else "These tests found no copies; they would have"
    result = {
        "task": "audit",
        "synthetic_sha256": SyntheticSet.open(synthetic).content_sha256,
        "split": split,
        "num_images": num_images,
        "num_held_out": num_held_out,
        "num_planted": num_planted,
        "num_synthetic": 8,
        "flagged": flagged,
        "copies_at_most": 0.75 if copying else 0.3,
        "planted": [{"disguise": "noise 0.2", "copies_at_most": 0.8}],
        "verdict": "resemblance" if copying else "nothing found",
        "sentences": [f"{told} ...", "More."],
        "notes": ["Looked at as 64 px."],
        "images": [{"id": "s0", "score": 1.0, "flagged": copying}],
    }
    if rules:
        verdict = "does not hold" if copying else "holds"
        result["require"] = [
            {"rule": rule, "verdict": verdict, "sentence": f"{rule}: {verdict}: 0."}
            for rule in rules
        ]
    out.mkdir(parents=True)
    (out / "audit.json").write_text(json.dumps(result))
    return result


def labels(synthetic: Path, checkpoint: Path, root: Path, split: str, out: Path) -> dict:
    """In the shape of evaluate.py labels: kidneys are found, tumours are not."""
    note(f"labels {synthetic.name} by {checkpoint.parents[1].name} {split}")
    if ordered("labels") == "fail":
        raise UserError(f"{root}: no labelled image of --split {split} is left.")
    summary = {
        f"found:{name}:{of}": {
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "num_values": 16,
            "num_patients": 8,
        }
        for name, shares in {"kidney": (0.75, 0.8, -0.05), "tumour": (0.125, 0.5, -0.375)}.items()
        for of, value in zip(("synthetic", "real", "difference"), shares, strict=True)
    }
    result = {
        "task": "labels",
        "synthetic_sha256": SyntheticSet.open(synthetic).content_sha256,
        "checkpoint_sha256": sha256_of(checkpoint),
        "split": split,
        "found_at": 0.5,
        "model": "Segmenter",
        "num_images": 8,
        "num_patients": 8,
        "num_real": 32,
        "num_real_patients": 8,
        "summary": summary,
        "painted": bool(ordered("painted")),
        "shows_nothing": {"tumour": "Nothing is shown."} if ordered("told apart") else {},
        "notes": [],
    }
    out.mkdir(parents=True)
    (out / "evaluation.json").write_text(json.dumps(result))
    manifest = json.loads((synthetic / "manifest.json").read_text())
    others = found_labels_in(manifest)
    own = {"evaluation_sha256": sha256_of(out / "evaluation.json")}
    (synthetic / "manifest.json").write_text(
        json.dumps({**manifest, "found_labels": [*others, own]})
    )
    return result


def write_cache(root: Path, image_size: int = 64, hashes: str = "") -> Path:
    """A prepared cache of small drawings, one patient a shard; other `hashes`, other content."""
    items, shards = [], {}
    (root / "arrays").mkdir(parents=True)
    for index in range(PATIENTS):
        patient = f"case_{index:05d}"
        drawn = [draw(10 * index + row, image_size) for row in range(SLICES)]
        for kind, which in (("mask", 0), ("image", 1)):
            np.save(root / "arrays" / f"{patient}_{kind}.npy", np.stack([d[which] for d in drawn]))
        checksums = {
            f"crc32_{kind}": "".join(f"{zlib.crc32(d[which]):08x}" for d in drawn)
            for kind, which in (("mask", 0), ("image", 1))
        }
        shards[patient] = checksums | {
            "image": f"arrays/{patient}_image.npy",
            "mask": f"arrays/{patient}_mask.npy",
            "sha256_image": f"i{index}{hashes}",
            "sha256_mask": f"m{index}",
            "num_slices": SLICES,
            "source_files": [],
            "geometry": {},
        }
        for row in range(SLICES):
            items.append(
                {
                    "id": f"{patient}/{row:04d}",
                    "patient_id": patient,
                    "split": "train",
                    "shard": patient,
                    "row": row,
                    "slice_index": row,
                    "class_pixels": np.bincount(drawn[row][0].ravel(), minlength=3).tolist(),
                    "pixel_spacing_mm": None,
                    "slice_spacing_mm": None,
                }
            )
    manifest = {
        "format": "understudy-cache",
        "format_version": 1,
        "dataset": "drawings",
        "software_version": "0",
        "image_size": image_size,
        "num_classes": 3,
        "class_names": CLASS_NAMES,
        "has_images": True,
        "has_masks": True,
        "window": None,
        "split": {"by": "patient", "ratios": [0.7, 0.2, 0.1], "seed": 0},
        "split_id": "f" * 64,
        "shards": shards,
        "items": items,
    }
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root
