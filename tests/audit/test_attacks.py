"""Attacks and scores by distances: known answers, the controls, and patients as units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

import audit.distances.membership
import audit.statistics
from audit.distances.fidelity import fidelity
from audit.distances.membership import membership
from audit.distances.reidentification import distance_to_another, reidentification
from audit.distances.spaces import OWN, Space
from audit.distances.words import (
    attack_table,
    fidelity_table,
    membership_sentences,
    parts_by_distance,
    reidentification_sentences,
)
from audit.images import AuditedSets, Images
from audit.plots import components_plot
from audit.search import distance_to_nearest
from audit.statistics import difference_by_chance
from audit.verdict import attacks_sentence
from metrics.ranking import auroc

DIM = 12


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.distances.membership, "_RESAMPLES", 100)
    monkeypatch.setattr(audit.distances.membership, "_SPLITS", 60)
    monkeypatch.setattr(audit.distances.membership, "_PLACEBOS", 4)
    monkeypatch.setattr(audit.statistics, "PERMUTATIONS", 400)


def patients_of(count: int, each: int, name: str) -> list[str]:
    return [f"{name} {index // each}" for index in range(count)]


def points(count: int, each: int, seed: int, likeness: float = 0.7) -> torch.Tensor:
    """Images of a patient are alike: (N, DIM)."""
    random = np.random.default_rng(seed)
    people = random.normal(size=(-(-count // each), DIM)).repeat(each, 0)[:count]
    own = random.normal(size=(count, DIM))
    return torch.from_numpy(likeness * people + (1 - likeness**2) ** 0.5 * own).float()


def images(found: torch.Tensor, each: int, name: str) -> Images:
    names = [f"{name} image {row}" for row in range(len(found))]
    empty = torch.zeros(len(found), 1, 4, 4, dtype=torch.uint8)
    return Images(empty, names, patients_of(len(found), each, name))


def audited(
    synthetic: torch.Tensor, training_each: int = 1, held_out: int = 240, copied: int = 30
) -> tuple[Space, AuditedSets]:
    """300 training images, 240 held-out ones of two a patient, and what is audited."""
    training, others = points(300, training_each, 0), points(held_out, 2, 1)
    space = Space("any", "any", training, others, synthetic, training[:copied] + 1e-3,
                  torch.arange(copied))  # fmt: skip
    sets = AuditedSets(
        images(training, training_each, "t"),
        images(others, 2, "h"),
        images(synthetic, 1, "s"),
        torch.full((len(synthetic),), -1),
    )
    return space, sets


def test_distances_are_those_of_the_nearest_of_other_patients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("audit.search._BLOCK_ENTRIES", 50)
    queries, references = points(13, 1, 0), points(20, 4, 1)
    owners = torch.arange(20) // 4
    without = torch.arange(13) % 5
    table = (queries[:, None] - references).norm(dim=2)
    assert torch.allclose(distance_to_nearest(queries, references), table.min(1).values)
    table[without[:, None] == owners] = torch.inf
    found = distance_to_nearest(queries, references, without, owners)
    assert torch.allclose(found, table.min(1).values)


def test_another_image_is_of_the_nearest_ones_patient_and_not_the_nearest() -> None:
    gallery = torch.tensor([[0.0], [3.0], [5.0], [6.0], [100.0]])
    owners = torch.tensor([0, 0, 1, 1, 1])
    found = distance_to_another(torch.tensor([[0.5], [5.4], [90.0]]), gallery, owners)
    assert found.tolist() == pytest.approx([2.5, 0.6, 84.0])


def test_membership_is_known_where_the_set_repeats_its_training_images() -> None:
    space, sets = audited(points(300, 1, 0) + 0.05 * points(300, 1, 9))
    found = membership(space, sets, 0)
    assert found["membership_auc"]["value"] > 0.99
    assert found["membership_tpr"]["value"] > 0.95
    assert found["succeeds"]
    assert "So the set tells who was" in membership_sentences(found)[-1]


def test_a_tenth_that_is_repeated_is_told_at_few_false_alarms() -> None:
    fresh = points(300, 1, 5)
    fresh[:30] = points(300, 1, 0)[:30] + 0.01
    found = membership(*audited(fresh), 0)
    assert found["membership_tpr"]["value"] == pytest.approx(0.1, abs=0.03)
    assert found["succeeds"]  # by the share that is told; the area is near 0.55


def test_membership_of_fresh_images_is_guessing_and_within_its_controls() -> None:
    succeeded, areas = [], []
    for seed in range(12):
        found = membership(*audited(points(300, 1, 50 + seed)), seed)
        succeeded.append(found["succeeds"])
        areas.append(found["membership_auc"]["value"])
        control = found["members_only"]["auc"]
        assert control["low"] < 0.5 < control["high"]
        assert found["planted_tpr"] == 1.0
    assert sum(succeeded) <= 1
    assert np.mean(areas) == pytest.approx(0.5, abs=0.04)


def test_an_embedding_that_spreads_training_images_is_no_attack() -> None:
    """Members lie farther from everything: the plain attack is off 0.5, the calibrated one not."""
    space, sets = audited(points(300, 1, 5))
    spread = Space("any", "any", 1.15 * space.training, space.held_out, space.synthetic,
                   space.copies, space.source)  # fmt: skip
    found = membership(spread, sets, 0)
    assert found["uncalibrated_auc"]["value"] < 0.42
    assert found["membership_auc"]["value"] == pytest.approx(0.5, abs=0.06)
    assert found["placebo"]["mean_auc"] == pytest.approx(0.5, abs=0.06)


def test_plain_membership_is_the_area_of_distances() -> None:
    space, sets = audited(points(50, 1, 5))
    near = [
        -(one[:, None] - space.synthetic).norm(dim=2).min(1).values.numpy()
        for one in (space.training, space.held_out)
    ]
    labels = np.repeat([1, 0], [300, 240])
    found = membership(space, sets, 0)["uncalibrated_auc"]["value"]
    assert found == pytest.approx(auroc(np.concatenate(near), labels), abs=1e-6)


def test_too_few_strangers_give_no_share_at_one_percent() -> None:
    found = membership(*audited(points(60, 1, 5), held_out=80), 0)
    assert found["membership_tpr"] is found["uncalibrated_tpr"] is found["planted_tpr"] is None
    told = " ".join(membership_sentences(found))
    assert "of 40 held-out patients one is more than 1 %, and 100 are needed" in told
    assert {row[2].text for row in attack_table(found).rows} == {"too few", ""}


def test_copies_lead_to_other_images_of_their_patient_and_fresh_images_do_not() -> None:
    copies, sets = audited(points(300, 3, 0)[:200] + 0.01, training_each=3)
    found = reidentification(copies, sets, 0)
    assert found["num_patients"] == 100
    assert found["succeeds"]
    assert found["reidentified"]["value"] == pytest.approx(
        found["reidentified_copies"]["value"], abs=0.1
    )
    assert found["reidentified"]["value"] > found["reidentified_held_out"]["high"]
    low = [
        reidentification(*audited(points(200, 1, 70 + seed), training_each=3), seed)["p"]
        for seed in range(15)
    ]
    assert np.mean(np.array(low) < 0.05) < 0.3
    assert min(low) > 0.002


def test_one_image_each_cannot_be_identified_again() -> None:
    found = reidentification(*audited(points(60, 1, 5)), 0)
    assert found == {"num_patients": 0, "num_images": 0, "succeeds": False}
    assert reidentification_sentences(found, False) == [
        "Not possible here: one image each, and no patient has another."
    ]
    few = reidentification_sentences({"num_patients": 1}, False)[0]
    assert (
        few == "Not possible here: 1 training patient alone has more than one image; 10 are needed."
    )


def test_images_of_label_maps_share_outlines_and_that_is_said() -> None:
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    found: Mapping[str, Any] = {
        "num_patients": 20, "reidentified": share, "reidentified_held_out": share,
        "reidentified_copies": share, "p": 0.001, "succeeds": True,
    }  # fmt: skip
    assert "outlines" in reidentification_sentences(found, True)[-1]
    assert "outlines" not in reidentification_sentences(found, False)[-1]
    blind = reidentification_sentences({**found, "succeeds": False, "p": 0.4}, False)
    assert "would have seen nothing" in blind[-1]


def test_p_of_a_difference_counts_patients_and_not_images() -> None:
    random = np.random.default_rng(0)
    low = []
    for seed in range(80):
        ours, others = (random.normal(size=25).repeat(8) for _ in range(2))
        names = [str(index // 8) for index in range(200)]
        low.append(difference_by_chance(ours, names, others, names, seed) <= 0.1)
    assert 0.02 < np.mean(low) < 0.2
    assert difference_by_chance(np.ones(40), [str(i) for i in range(40)], np.zeros(40),
                                [str(i) for i in range(40)], 0) < 0.01  # fmt: skip


def test_held_out_images_reach_what_fresh_images_reach() -> None:
    space, sets = audited(points(240, 2, 5))
    found = fidelity(space, sets, 0)
    assert found is not None
    assert found["num_images"] == 240
    assert found["num_training"] == 300
    for name, ours in found["synthetic"].items():
        other = found["held_out"][name]
        assert ours["low"] <= other["high"], name
        assert other["low"] <= ours["high"], name
    assert 0.2 < found["held_out"]["authenticity"]["value"] < 0.95  # no 50 %, and no 100 %
    copies = fidelity(*audited(space.training[:240] + 1e-4), 0)
    assert copies is not None
    assert copies["synthetic"]["authenticity"]["value"] == 0.0
    assert copies["held_out"]["authenticity"] == found["held_out"]["authenticity"]
    rows = {row[0].text: row for row in fidelity_table(found).rows}
    assert list(rows) == ["precision", "recall", "density", "coverage", "alpha-precision",
                          "beta-recall", "authenticity"]  # fmt: skip


def test_too_few_patients_have_no_scores() -> None:
    space, sets = audited(points(11, 1, 5))
    assert fidelity(space, sets, 0) is None


def test_the_answer_tells_of_attacks() -> None:
    def told(membership: bool, identified: bool | None) -> str:
        again = {} if identified is None else {"reidentified": {}}
        one = {
            "membership": {"succeeds": membership},
            "reidentification": {**again, "succeeds": bool(identified)},
        }
        return attacks_sentence({"by_distance": {OWN: one}})

    assert told(False, False).endswith("did no better than chance.")
    assert "re-identification was not possible" in told(False, None)
    both = "a membership attack and re-identification did better than chance"
    assert both in told(True, True)


def test_the_plot_that_is_handed_on_has_no_point_for_a_real_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []
    scatter = Axes.scatter

    def watched(self: Axes, x: np.ndarray, *args: Any, **more: Any) -> Any:
        drawn.append(len(x))
        return scatter(self, x, *args, **more)

    monkeypatch.setattr(Axes, "scatter", watched)
    space, _ = audited(points(37, 1, 5))
    assert components_plot(space, points=False).startswith(b"\x89PNG")
    assert drawn == [37]
    components_plot(space, points=True)
    assert drawn == [37, 37, 300, 240]
    alike = torch.ones(40, DIM)  # no variance, and no density but of a point
    same = Space("any", "any", alike, alike, alike, alike, torch.arange(40))
    assert components_plot(same, points=False).startswith(b"\x89PNG")


def test_every_extractor_is_told_under_its_name() -> None:
    space, sets = audited(points(60, 1, 5))
    one = {
        "membership": membership(space, sets, 0),
        "reidentification": reidentification(space, sets, 0),
        "fidelity": None,
    }
    result = {"by_distance": {OWN: one, "random_vgg": one}, "own_label_maps": None}
    titles = [part.title for part in parts_by_distance(result)]
    assert titles[0] == "Can somebody tell who was in the training set?"
    assert titles[3] == "Can somebody tell who was in the training set, by random_vgg?"
    assert "12 patients of every side" in parts_by_distance(result)[2].sentences[0]
