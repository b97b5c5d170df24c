import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from metrics.segmentation import AbsentClass, SegmentationScores, confusion_iou, image_confusion
from metrics.surface_distance import hd95

NAMES = ["background", "kidney", "tumour"]


def random_labels(num_images: int, size: int = 16, seed: int = 0, classes: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, classes, (num_images, size, size), generator=generator)


def squares(num_images: int, shift: int, side: int = 6) -> Tensor:
    """Kidney squares with a tumour pixel block, moved by `shift` pixels."""
    labels = torch.zeros(num_images, 24, 24, dtype=torch.int64)
    labels[:, 5 + shift : 5 + shift + side, 6 : 6 + side] = 1
    labels[:, 6 + shift : 8 + shift, 7:9] = 2
    return labels


def scored(
    patients: list[str],
    prediction: Tensor,
    target: Tensor,
    order: list[int] | None = None,
    batch: int = 2,
    **setting: Any,
) -> SegmentationScores:
    scores = SegmentationScores(NAMES, **setting)
    order = order or list(range(len(patients)))
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        scores.update(
            [f"image{i}" for i in part],
            [patients[i] for i in part],
            prediction[part],
            target[part],
            slice_index=part,
            spacing_mm=[(3.0, 2.0, 2.0)] * len(part),
        )
    return scores


def image_iou(
    prediction: Tensor, target: Tensor, num_classes: int, absent_class: AbsentClass = "skip"
) -> Tensor:
    return confusion_iou(image_confusion(prediction, target, num_classes), absent_class)


def test_iou_by_hand() -> None:
    target = torch.tensor([[[0, 1], [1, 2]]])
    prediction = torch.tensor([[[0, 1], [2, 2]]])
    assert image_iou(prediction, target, 3).tolist() == [[1.0, 0.5, 0.5]]
    assert image_confusion(prediction, target, 3).tolist() == [[[1, 0, 0], [0, 1, 1], [0, 0, 1]]]


def test_absent_class_is_skipped_or_one_and_invented_or_missed_is_zero() -> None:
    empty = torch.zeros(1, 2, 2, dtype=torch.int64)
    kidney = torch.tensor([[[0, 1], [0, 0]]])
    skipped = image_iou(empty, empty, 3)[0]
    assert skipped[0] == 1
    assert skipped[1:].isnan().all()
    assert image_iou(empty, empty, 3, "one").tolist() == [[1.0, 1.0, 1.0]]
    for setting in ("skip", "one"):
        assert image_iou(kidney, empty, 3, setting)[0, 1] == 0
        assert image_iou(empty, kidney, 3, setting)[0, 1] == 0


def test_iou_agrees_with_monai() -> None:
    from monai.metrics import compute_iou

    target, prediction = random_labels(5, seed=1), random_labels(5, seed=2)
    sides = [one_hot(labels, 3).permute(0, 3, 1, 2) for labels in (prediction, target)]
    expected = compute_iou(sides[0], sides[1], include_background=True)
    torch.testing.assert_close(image_iou(prediction, target, 3).float(), expected)


def test_mean_iou_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_jaccard_index

    target, prediction = random_labels(4, seed=3), random_labels(4, seed=4)
    expected = [
        float(multiclass_jaccard_index(p, t, 3, average="macro"))
        for p, t in zip(prediction, target, strict=True)
    ]
    assert image_iou(prediction, target, 3).nanmean(1).tolist() == pytest.approx(expected, abs=1e-6)


def test_iou_is_equivariant_to_order_and_integer_type() -> None:
    target, prediction = random_labels(6, seed=5), random_labels(6, seed=6)
    iou = image_iou(prediction, target, 3)
    order = [3, 0, 5, 1, 4, 2]
    assert torch.equal(image_iou(prediction[order], target[order], 3), iou[order])
    assert torch.equal(image_iou(prediction.to(torch.uint8), target.to(torch.int32), 3), iou)


def test_wrong_labels_and_shapes_are_named() -> None:
    good = random_labels(1)
    with pytest.raises(ValueError, match=r"target holds labels 0\.\.3, expected 0\.\.2"):
        image_iou(good, random_labels(1, classes=4), 3)
    with pytest.raises(ValueError, match="expected both"):
        image_iou(good, good[:, :8], 3)
    with pytest.raises(ValueError, match='"skip" or "one"'):
        image_iou(good, good, 3, "zero")  # type: ignore[arg-type]


def test_dice_pools_a_patients_slices_and_agrees_with_monai() -> None:
    from monai.metrics import compute_dice

    target, prediction = random_labels(4, seed=7), random_labels(4, seed=8)
    found = scored(["a"] * 4, prediction, target).compute()["patients"][0]
    volumes = [one_hot(v, 3).permute(3, 0, 1, 2)[None] for v in (prediction, target)]
    expected = compute_dice(volumes[0], volumes[1], include_background=False)[0]
    assert found["dice_kidney"] == pytest.approx(float(expected[0]), abs=1e-6)
    assert found["dice_tumour"] == pytest.approx(float(expected[1]), abs=1e-6)
    assert found["num_images"] == 4


def test_dice_by_hand_and_null_where_a_class_is_nowhere() -> None:
    target = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [0, 0]]])
    prediction = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 0]]])
    found = scored(["a", "a"], prediction, target).compute()
    assert found["patients"][0]["dice_kidney"] == 2 * 2 / (3 + 3)
    assert found["patients"][0]["dice_tumour"] is None
    assert found["summary"]["dice_tumour"] is None


def test_hd95_by_hand() -> None:
    sides = np.zeros((2, 8, 8), bool)
    sides[0, 1, 1] = True
    sides[1, 4, 5] = True
    assert hd95(sides[0], sides[1]) == pytest.approx(5.0)
    assert hd95(sides[0], sides[1], spacing=(2.0, 2.0)) == pytest.approx(10.0)
    assert hd95(sides[0], sides[0]) == 0.0
    assert hd95(sides[0], np.zeros((8, 8), bool)) is None


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")
@pytest.mark.parametrize("spacing", [None, (3.0, 0.8, 0.8)])
def test_hd95_agrees_with_monai(spacing: tuple[float, ...] | None) -> None:
    from monai.metrics import compute_hausdorff_distance

    random = np.random.default_rng(0)
    sides = [np.zeros((6, 20, 20), bool) for _ in range(2)]
    sides[0][1:4, 4:12, 5:15] = random.random((3, 8, 10)) > 0.2
    sides[1][2:5, 6:15, 3:12] = random.random((3, 9, 9)) > 0.2
    tensors = [torch.from_numpy(side)[None, None] for side in sides]
    expected = compute_hausdorff_distance(
        tensors[0], tensors[1], include_background=True, percentile=95, spacing=spacing
    )
    assert hd95(sides[0], sides[1], spacing) == pytest.approx(float(expected), rel=1e-6)


def test_hd95_is_in_mm_for_a_whole_volume_and_in_pixels_with_a_gap() -> None:
    target, prediction = squares(3, shift=0), squares(3, shift=2)
    whole = scored(["a"] * 3, prediction, target).compute()
    assert whole["hd95_unit"] == "mm"
    assert whole["patients"][0]["hd95_kidney"] == pytest.approx(2 * 2.0)
    scores = SegmentationScores(NAMES)
    scores.update("abc", ["p"] * 3, prediction, target, [0, 1, 5], [(3.0, 2.0, 2.0)] * 3)
    gap = scores.compute()
    assert (gap["hd95_unit"], gap["patients"][0]["hd95_unit"]) == ("px", "px")
    assert gap["patients"][0]["hd95_kidney"] == pytest.approx(2.0)


def test_hd95_across_slices_uses_the_slice_spacing() -> None:
    target = torch.zeros(2, 8, 8, dtype=torch.int64)
    prediction = target.clone()
    target[0, 4, 4] = 1
    prediction[1, 4, 4] = 1
    found = scored(["a", "a"], prediction, target).compute()
    assert found["patients"][0]["hd95_kidney"] == pytest.approx(3.0)
    assert found["hd95_undefined"] == 0


def test_a_side_without_surface_is_null_and_counted() -> None:
    target = squares(3, shift=0)
    nothing = torch.zeros_like(target)
    found = scored(["a", "b", "b"], nothing, target).compute()
    assert [p["hd95_kidney"] for p in found["patients"]] == [None, None]
    # One volume in mm (b), one single slice in px (a), two classes each.
    assert found["hd95_undefined"] == 4
    assert found["summary"]["hd95_kidney"] is None
    assert found["summary"]["dice_kidney"] == 0


def test_trivial_predictor_gets_its_own_score() -> None:
    target = squares(4, shift=0)
    target[3] = 0
    for setting in ("skip", "one"):
        scores = scored(list("aabb"), torch.zeros_like(target), target, absent_class=setting)
        found = scores.compute()
        trivial = found["trivial_all_background"]
        assert trivial["iou_mean"] == found["summary"]["iou_mean"]
        assert trivial["iou_foreground"] == found["summary"]["iou_foreground"]
        background = 1 - 36 / 24**2
        last = 1.0
        assert trivial["iou_mean"] == pytest.approx((3 * background / 3 + last) / 4)


def test_iou_means_are_over_the_classes_that_count() -> None:
    target = torch.tensor([[[0, 1], [0, 0]]])
    prediction = torch.tensor([[[0, 1], [1, 0]]])
    image = scored(["a"], prediction, target).compute()["images"][0]
    assert image["iou_kidney"] == 0.5
    assert image["iou_tumour"] is None
    assert image["iou_foreground"] == 0.5
    assert image["iou_mean"] == pytest.approx((2 / 3 + 0.5) / 2)
    image = scored(["a"], prediction, target, absent_class="one").compute()["images"][0]
    assert image["iou_tumour"] == 1
    assert image["iou_mean"] == pytest.approx((2 / 3 + 0.5 + 1) / 3)


def test_order_and_batches_do_not_matter() -> None:
    patients = ["a"] * 3 + ["b"] * 2 + ["c"]
    target, prediction = squares(6, shift=0), squares(6, shift=1)
    prediction[4] = random_labels(1, size=24)[0]
    expected = scored(patients, prediction, target).compute()
    for order, batch in (([5, 4, 3, 1, 2, 0], 1), ([3, 4, 0, 2, 1, 5], 6)):
        assert scored(patients, prediction, target, order, batch).compute() == expected


def test_a_patient_that_comes_back_and_a_repeated_image_are_refused() -> None:
    target = squares(3, shift=0)
    with pytest.raises(ValueError, match="a: came back after another patient"):
        scored(["a", "b", "a"], target, target).compute()
    scores = SegmentationScores(NAMES)
    with pytest.raises(ValueError, match="x: was scored already"):
        scores.update(["x", "x"], ["a", "a"], target[:2], target[:2])


def test_only_the_current_patients_label_maps_are_held() -> None:
    target = squares(6, shift=0)
    scores = scored(["a", "a", "b", "b", "c", "c"], target, target)
    assert len(scores._open_slices) == 2
    assert scores._open_slices[0]["prediction"].dtype == np.uint8


def test_result_is_json_without_nan() -> None:
    found = scored(["a"], torch.zeros(1, 4, 4, dtype=torch.int64), squares(1, 0)[:, :4, :4])
    text = json.dumps(found.compute(), allow_nan=False)
    assert not math.isnan(json.loads(text)["summary"]["iou_mean"])
