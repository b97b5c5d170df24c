"""The names of an evaluation's scores before it: those that the evaluation itself has."""

import torch

from metrics.segmentation import SegmentationScores
from studies.statistics.results import holds_score, known_scores
from studies.statistics.score_names import CLASSIFICATION, SEGMENTATION, score_names


def test_of_a_segmentation_they_are_those_of_the_scorer() -> None:
    names = ["background", "kidney", "tumour"]
    scores = SegmentationScores(names)
    masks = torch.randint(0, 3, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    scores.update(["a", "b"], ["p", "q"], masks, masks.flip(1))
    found = scores.compute()
    told = score_names(SEGMENTATION, names)
    assert sorted(told) == sorted(found["summary"]) == known_scores(found)


def test_of_a_classification_they_are_what_predictions_give() -> None:
    for classes in (2, 3):
        rows = []
        for index in range(6):
            label = index % classes
            row = {
                "id": str(index), "patient_id": str(index), "label": label, "prediction": label,
                "probability": 0.4, "correct": 1, "log_loss": 0.5, "brier": 0.2,
            }  # fmt: skip
            rows.append(row if classes == 2 else row | {"probabilities": [0.3, 0.4, 0.3]})
        told = score_names(CLASSIFICATION, [f"class {index}" for index in range(classes)])
        evaluation = {"images": rows}
        assert sorted([*told, "probability"]) == known_scores(evaluation)
        assert all(holds_score(evaluation, name) for name in told)
