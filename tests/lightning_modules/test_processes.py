"""Several processes train as one: every method with every loss, in float64, and what they move.

Through train.py, with small networks and five steps. One set of processes trains all cases in turn.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from lightning_modules import GAN
from lightning_modules.loading import load_module
from tests.finding_caches import with_findings
from tests.methods import (
    BATCH_NORMALISED,
    CLASSIFIER,
    CYCLEGAN,
    FINDINGS_CLASSIFIER,
    GAN_LOSSES,
    GANS,
    LESIONS,
    PIX2PIX,
    RESNET,
    SEGMENTER,
    gan,
    in_float64,
)
from tests.training_runs import rows, train_together

pytestmark = [pytest.mark.ddp, pytest.mark.usefixtures("one_thread")]
Cases = dict[str, tuple[str, list[str]]]  # data and flags of each

ONE_OF_EACH = [
    ("se_msg_pggan", "ra_hinge"),
    ("pggan", "wgan_gp"),
    ("stylegan1", "non_saturating"),
    ("stylegan", "non_saturating"),
    ("dcgan", "hinge"),
]
GEOMETRIC = "--data.augmentation=geometric"
SOME: Cases = {
    **{f"{name} {loss}": ("films", gan(name, loss)) for name, loss in ONE_OF_EACH},
    "cyclegan lsgan": ("films", CYCLEGAN),
    "pix2pix vanilla": ("slices", [*PIX2PIX, GEOMETRIC]),
    "segmenter": ("slices", [*SEGMENTER, GEOMETRIC]),
}
OTHERS: Cases = {
    **{
        f"{name} {loss}": ("films", gan(name, loss))
        for name in GANS
        for loss in GAN_LOSSES
        if (name, loss) not in ONE_OF_EACH
    },
    **{
        f"{name} {loss}": (data, [*flags, f"--model.adversarial_loss={loss}"])
        for name, data, flags in (
            ("cyclegan", "films", CYCLEGAN),
            ("pix2pix", "slices", [*PIX2PIX, GEOMETRIC]),
            ("lesions", "slices", [*LESIONS, GEOMETRIC]),
        )
        for loss in ("vanilla", "lsgan", "hinge")
        if f"{name} {loss}" not in SOME
    },
    "cyclegan conditioned": ("films", [*CYCLEGAN, "--model.conditioned=true"]),
    "classifier": ("films", CLASSIFIER),
    "findings classifier": ("findings", [*FINDINGS_CLASSIFIER, "--data.findings=all"]),
}
# Four processes have a group of minibatch deviation each.
ON_FOUR: Cases = {
    name: (data, [*flags, "--data.batch_size=16", "--data.images_per_epoch=80"])
    for name, (data, flags) in {**SOME, **OTHERS}.items()
    if name in SOME or name in ("lesions hinge", "classifier", "findings classifier")
}

# 12 training films, and as many in validation, 6 of each class.
PATIENTS = {f"patient_{i:012x}": "train" if i < 4 else "val" for i in range(8)}

# StyleGAN's constant is flat until noise has a strength, and its instance norm makes 0 of flat
# maps: the gradient of what comes before is a rounding error, which Adam enlarges.
FLAT_AT_FIRST = ("stylegan1", ["first", "0"])


@pytest.fixture
def caches(small_cache: Path, film_cache: Callable[..., Path], tmp_path: Path) -> dict[str, Path]:
    """Data by the names that cases give them."""
    return {
        "slices": small_cache,
        "films": film_cache(tmp_path / "films", PATIENTS),
        "findings": with_findings(tmp_path / "findings", patients=PATIENTS),
    }


def saved(run_folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(run_folder / "checkpoints/last.ckpt", weights_only=True)
    return loaded


def assert_same_rows(name: str, one: list[str], two: list[str]) -> float:
    """Losses, gradient norms, distances, metrics; their largest relative difference.

    Features are float32, and a convolution may add up in another order for another number of
    images at once. A held-out score knows how batches were cut where a network has minibatch
    deviation, as all of the GANs but DCGAN.
    """
    assert [line.rpartition(",")[0] for line in one] == [line.rpartition(",")[0] for line in two]
    worst = 0.0
    for before, after in zip(one[1:], two[1:], strict=True):
        if "val/score_real" not in before or name.startswith("dcgan"):
            value, other = (float(line.rpartition(",")[2]) for line in (before, after))
            assert other == pytest.approx(value, rel=1e-4, abs=1e-6), (name, before)
            worst = max(worst, abs(other - value) / max(abs(value), 0.01))
    return worst


def assert_same_weights(name: str, one: Path, several: Path) -> float:
    """To 1e-10, of networks and averages; the largest difference."""
    before, after = saved(one)["state_dict"], saved(several)["state_dict"]
    assert before.keys() == after.keys()
    worst = 0.0
    for key, value in before.items():
        difference = float((after[key] - value).abs().max())
        flat = (name.split()[0], key.split(".")[-3:-1]) == FLAT_AT_FIRST
        assert difference < (1e-6 if flat else 1e-10), (name, key, difference)
        worst = worst if flat else max(worst, difference)
    return worst


def assert_ranks_hold_the_same_bits(name: str, run: Path, processes: int) -> None:
    """And those of the checkpoint."""
    ranks = [torch.load(run / f"rank_{r}.pt", weights_only=True) for r in range(processes)]
    for state in (*ranks, saved(run)["state_dict"]):
        assert state.keys() == ranks[0].keys()
        for key, value in ranks[0].items():
            assert torch.equal(state[key], value), (name, key)


def assert_each_step_moves_its_own_gradients(name: str, run: Path) -> None:
    """Those of the network that steps, once; beside them scalars, statistics, and pooled images."""
    checkpoint = saved(run)
    adams = checkpoint["optimizer_states"]
    kept = [8 * sum(s["exp_avg"].numel() for s in adam["state"].values()) for adam in adams]
    for number, step in enumerate(json.loads((run / "moved.json").read_text())):
        for network in {network for network, *_ in step} - {""}:
            own = [(what, size) for of, what, size in step if of == network]
            [held] = [size for what, size in own if what == "holds gradients"]
            assert [size for what, size in own if what == "average_gradients"] == [held], name
            others = [(what, size) for what, size in own if what in ("forward", "backward")]
            assert len(own) == 2 + len(others), (name, own)
            assert all(size == 8 for _, size in others), (name, others)  # a mean over the batch
            if others:
                assert "ra_hinge" in name or "stylegan " in name, (name, others)
            grows = name.split()[0] in ("pggan", "stylegan1")
            assert (held in kept) if not grows else (0 < held <= max(kept)), (name, held, kept)
        between = {what for of, what, _ in step if of == ""}
        allowed = {"average_buffers", "mean_over_processes"}
        if name.startswith("cyclegan"):
            allowed |= {"gather_rows"}
        assert between <= allowed, (name, number, between)


def moved(run: Path) -> dict[str, int]:
    """Bytes that a process gave in the last step, by what they were for."""
    told: dict[str, int] = {}
    for network, what, size in json.loads((run / "moved.json").read_text())[-1]:
        if what != "holds gradients":
            told[f"{network} {what}".strip()] = told.get(f"{network} {what}".strip(), 0) + size
    return told


def compare(cases: Cases, caches: dict[str, Path], tmp_path: Path, processes: int = 2) -> None:
    """Train each case on one process and on several, and compare all that is left of it."""

    def arguments(name: str, folder: str) -> list[str]:
        data, flags = cases[name]
        run = tmp_path / f"{folder}_{name.replace(' ', '_')}"
        return in_float64(flags, caches[data], run)

    for name in cases:
        train.fit(arguments(name, "one"))
    for data in {cases[name][0] for name in cases}:
        if (features := caches[data] / "features").exists():
            features.rename(tmp_path / f"features_{data}")  # several measure the films themselves
    train_together([arguments(name, "several") for name in cases], tmp_path, processes)
    for name in cases:
        one, several = (
            tmp_path / f"{folder}_{name.replace(' ', '_')}" for folder in ("one", "several")
        )
        assert saved(several)["progress"] == saved(one)["progress"], name
        assert saved(several)["progress"]["steps_done"] == 5
        weights = assert_same_weights(name, one, several)
        assert_ranks_hold_the_same_bits(name, several, processes)
        assert_each_step_moves_its_own_gradients(name, several)
        numbers = assert_same_rows(name, rows(one), rows(several))
        print(f"{name} | {processes} | {weights:.1e} | {numbers:.1e} | {moved(several)}")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "cases",
    [SOME, pytest.param(OTHERS, marks=pytest.mark.slow)],
    ids=["some", "others"],
)
def test_two_processes_equal_one(cases: Cases, caches: dict[str, Path], tmp_path: Path) -> None:
    compare(cases, caches, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_processes_equal_one(caches: dict[str, Path], tmp_path: Path) -> None:
    compare(ON_FOUR, caches, tmp_path, processes=4)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(
    caches: dict[str, Path], tmp_path: Path
) -> None:
    """An epoch on one process, the next on two, the last on one again."""
    names = ("se_msg_pggan ra_hinge", "pix2pix vanilla", "segmenter")

    def arguments(name: str, folder: str, epochs: int, *more: str) -> list[str]:
        data, flags = SOME[name]
        constant = ["--data.images_per_epoch=24", "--model.decay_from=1.0"]
        more = (*constant, f"--trainer.max_epochs={epochs}", *more)
        return in_float64(flags, caches[data], tmp_path / f"{folder}_{name}", *more)

    for name in names:
        train.fit(arguments(name, "whole", 3))
        train.fit(arguments(name, "changed", 1))
    train_together([arguments(name, "changed", 2, "--resume=true") for name in names], tmp_path)
    for name in names:
        train.fit(arguments(name, "changed", 3, "--resume=true"))
        whole, changed = tmp_path / f"whole_{name}", tmp_path / f"changed_{name}"
        assert saved(changed)["progress"] == saved(whole)["progress"]
        worst = assert_same_weights(name, whole, changed)
        print(f"{name}: {worst:.1e} from a run on one process")
        assert_same_rows(name, rows(whole), rows(changed))


# ---- where several processes cannot equal one, and what holds instead ----------------------------

BY_THE_PROCESS: Cases = {
    # Normalised by each process's own share of a batch, as by each part of it.
    "dcgan hinge": ("films", gan("dcgan", "hinge", *BATCH_NORMALISED)),
    "pix2pix vanilla": ("slices", [*PIX2PIX, "--model.generator.normalization=batch"]),
    # Groups of two where the whole batch has groups of four.
    "se_msg_pggan hinge": (
        "films",
        gan("se_msg_pggan", "hinge", "--data.batch_size=4", "--data.images_per_epoch=20"),
    ),
    "resnet": ("films", RESNET),
}


@pytest.mark.slow
def test_a_share_is_normalised_and_grouped_as_a_micro_batch_is(
    caches: dict[str, Path], tmp_path: Path
) -> None:
    """Layers that compare images see a process's share: the weights are those of micro-batches."""
    runs = {
        name: {
            kind: in_float64(flags, caches[data], tmp_path / f"{kind}_{name}", *more)
            for kind, more in (("whole", []), ("parts", ["--model.micro_batches=2"]), ("two", []))
        }
        for name, (data, flags) in BY_THE_PROCESS.items()
    }
    for kinds in runs.values():
        train.fit(kinds["whole"])
        train.fit(kinds["parts"])
    train_together([kinds["two"] for kinds in runs.values()], tmp_path)
    for name in runs:
        two = saved(tmp_path / f"two_{name}")["state_dict"]
        assert_ranks_hold_the_same_bits(name, tmp_path / f"two_{name}", 2)
        apart = {}
        for kind in ("whole", "parts"):
            other = saved(tmp_path / f"{kind}_{name}")["state_dict"]
            # Running statistics are averaged over processes, and move once for each part.
            weights = [key for key in two if "running" not in key and "num_batches" not in key]
            apart[kind] = max(float((two[k] - other[k]).abs().max()) for k in weights)
        print(f"{name}: {apart['parts']:.1e} from parts, {apart['whole']:.1e} from one process")
        assert apart["parts"] < 1e-10 < 1e-6 < apart["whole"], (name, apart)


def test_statistics_of_an_average_are_those_that_one_process_estimates(
    caches: dict[str, Path], tmp_path: Path
) -> None:
    flags = gan("dcgan", "hinge", *BATCH_NORMALISED)
    train_together([in_float64(flags, caches["films"], tmp_path / "run")], tmp_path)
    module, _ = load_module(tmp_path / "run/checkpoints/last.ckpt")
    assert isinstance(module, GAN)
    of_two = {name: value.clone() for name, value in module.averaged.named_buffers()}
    module.averaged.statistics_at = None
    module.averaged_generator()
    for name, value in module.averaged.named_buffers():
        torch.testing.assert_close(of_two[name], value, rtol=0, atol=1e-12)
    # Of two networks alone: the average's are estimated, and every process estimates them all.
    statistics = sum(
        value.numel()
        for network in (module.generator, module.discriminator)
        for key, value in network.named_buffers()
        if "running" in key
    )
    assert moved(tmp_path / "run")["average_buffers"] == 8 * (statistics + 4)  # and 4 scalars


@pytest.mark.slow
def test_dropout_of_a_classifier_differs_by_process_and_repeats(
    caches: dict[str, Path], tmp_path: Path
) -> None:
    """A mask is drawn for a process's share at once, by seed, step and rank."""
    flags = [*CLASSIFIER, "--model.network.dropout=0.5"]
    runs = {
        name: in_float64(flags, caches["films"], tmp_path / name)
        for name in ("one", "two", "again")
    }
    train.fit(runs["one"])
    train_together([runs["two"], runs["again"]], tmp_path)
    one, two, again = (saved(tmp_path / name)["state_dict"] for name in runs)
    assert all(torch.equal(two[key], again[key]) for key in two)
    assert max(float((two[key] - one[key]).abs().max()) for key in two) > 1e-6
    assert_ranks_hold_the_same_bits("dropout", tmp_path / "two", 2)
