"""By which validation score a segmenter's best checkpoint is chosen."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from datamodules import KiTS19DataModule
from lightning_modules import Segmenter
from networks import UNet
from provenance import UserError
from tests.training_runs import cpu_trainer

NAMES = ("background", "kidney", "tumour")


class Given(nn.Module):
    """Predicts the labels that its images are."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.one_hot(image[:, 0].long(), self.num_classes).movedim(-1, 1).double()


def segmenter(network: Any = Given, **settings: Any) -> Segmenter:
    return Segmenter(network=network, num_classes=3, class_names=NAMES, **settings)


def validated(module: Segmenter, truth: list[Any], predicted: list[Any]) -> dict[str, float]:
    logged: dict[str, float] = {}
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    module._trainer = cpu_trainer(1)
    module.on_validation_epoch_start()
    for target, labels in zip(truth, predicted, strict=True):
        batch = {"image": torch.tensor(labels)[:, None].double(), "mask": torch.tensor(target)}
        module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    return logged


def test_dice_is_that_of_all_validation_pixels_together() -> None:
    truth = [[[[2, 2, 1, 0]]], [[[0, 0, 1, 1]], [[2, 0, 0, 0]]]]
    predicted = [[[[2, 1, 1, 0]]], [[[2, 0, 1, 1]], [[0, 0, 0, 0]]]]
    values = validated(segmenter(best_by="dice_tumour"), truth, predicted)

    # Tumour: one of three pixels found, one invented. Kidney: three of three, one invented.
    assert values["val/dice_tumour"] == pytest.approx(2 * 1 / (3 + 2))
    assert values["val/dice_kidney"] == pytest.approx(2 * 3 / (3 + 4))
    assert values["val/iou_tumour"] == pytest.approx((1 / 2 + 0 + 0) / 3)


def test_best_by_names_the_score_that_the_checkpoint_is_chosen_by() -> None:
    assert segmenter().monitor == ("val/iou_mean", "max")
    assert segmenter(best_by="dice_tumour").monitor == ("val/dice_tumour", "max")
    with pytest.raises(UserError, match=r"best_by is 'dice_cyst', .*dice_kidney, dice_tumour\."):
        segmenter(best_by="dice_cyst")


def test_a_class_that_no_validation_image_holds_cannot_choose() -> None:
    without: list[Any] = [[[[0, 1, 1, 0]]]]
    assert "val/dice_tumour" not in validated(segmenter(), without, without)
    with pytest.raises(UserError, match="dice_tumour: no image of the validation split holds"):
        validated(segmenter(best_by="dice_tumour"), without, without)


def test_a_training_can_choose_by_its_target(small_cache: Path) -> None:
    module = segmenter(partial(UNet, width=8, depth=2), best_by="dice_tumour")
    runner = cpu_trainer(2)
    runner.fit(module, datamodule=KiTS19DataModule(str(small_cache), batch_size=6))
    runner.validate(module, datamodule=KiTS19DataModule(str(small_cache), batch_size=6))

    assert 0 <= runner.callback_metrics["val/dice_tumour"] <= 1
