"""Policies: how they are written, drawn and replayed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from augmentations.language import read_policy, written_list
from augmentations.operation import Images
from provenance import UserError

SLICES = Images(channels=1, masks=True)


def scene() -> tuple[Tensor, Tensor]:
    image = (torch.arange(48 * 48) * 37 % 251).reshape(1, 48, 48).to(torch.uint8)
    return image, image[0] // 64


def unit(image: Tensor) -> Tensor:
    return image.float() / 127.5 - 1


def test_geometric_gives_the_bits_of_runs_before_there_were_policies() -> None:
    """As written then: four numbers of the sample's seed, and torchvision on stored levels."""
    image, mask = scene()
    policy = read_policy("geometric", SLICES)
    for seed in range(50):
        unit_draw = torch.rand(
            4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        turn, right, down = (2 * unit_draw[:3] - 1).tolist()
        how = {
            "angle": turn * 15.0,
            "translate": [round(right * 0.08 * 48), round(down * 0.08 * 48)],
            "scale": 0.85 * (1.15 / 0.85) ** unit_draw[3].item(),
            "shear": [0.0, 0.0],
        }
        air = [float(image.min())]
        bilinear = InterpolationMode.BILINEAR
        expected = transform.affine(image, **how, interpolation=bilinear, fill=air)
        expected_mask = transform.affine(tv_tensors.Mask(mask[None]), **how)[0]
        moved, labels = policy.apply(image, mask, policy.draw(seed, (48, 48)), unit)
        assert labels is not None
        assert torch.equal(moved, expected)
        assert torch.equal(labels, expected_mask.as_subclass(Tensor))


def test_settings_of_one_operation_leave_the_draws_of_others(tmp_path: Path) -> None:
    first = read_policy(["rotation", {"shift": {"probability": 0.5}}, "zoom"], SLICES)
    second = read_policy([{"rotation": {"strength": 0.1}}, "shift", "zoom"], SLICES)
    for seed in range(20):
        one, two = (policy.draw(seed, (48, 48)) for policy in (first, second))
        assert one[2] == two[2]
        assert one[0] != two[0]


def test_a_file_a_list_and_names_are_one_language(tmp_path: Path) -> None:
    written = [{"rotation": {"max_degrees": 10}}, "geometric"]
    file = tmp_path / "policy.yaml"
    file.write_text("- rotation: {max_degrees: 10}\n- geometric\n")
    policy = read_policy(str(file), SLICES)
    assert policy == read_policy(written, SLICES)
    resolved = policy.plain()
    assert resolved[0] == {"rotation": {"probability": 1.0, "strength": 1.0, "max_degrees": 10.0}}
    assert read_policy(resolved, SLICES) == policy
    assert not read_policy("none", SLICES)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["rotaton"], "there is no operation rotaton. Did you mean rotation?"),
        ([{"rotation": {"max_degree": 3}}], "rotation has no setting max_degree. Did you mean max"),
        ([{"zoom": {"strength": 3}}], "zoom: strength is 3, expected a number from 0 to 1"),
        ([{"zoom": {"min_factor": "x"}}], "zoom: min_factor is 'x', expected a number"),
        ([{"zoom": {"min_factor": float("nan")}}], "zoom: min_factor is nan, expected a number"),
        ([{"shift": {"direction": "up"}}], "shift: direction is up, expected both, horizontal or"),
        ([{"horizontal_flip": {"strength": 0.5}}], "horizontal_flip: strength is 0.5, and it is"),
        ([3], "3 is no operation. Expected its name"),
        ([{"zoom": 3}], "is no operation. Expected its name"),
        ([{"nnunet": {"strength": 0.5}}], "nnunet is a preset and takes no settings. Write its"),
        ([{"trivial": None}], "trivial is a preset and takes no settings"),
        ([{"one_of": {"operations": ["nnunet"]}}], "nnunet is a preset, a list of operations, and"),
        ({"rotation": {"max_degrees": 3}}, "augmentation: is a mapping, expected the name of a"),
        (None, "augmentation: is NoneType, expected"),
        ("geometrc", "geometrc: expected none.* Did you mean geometric?"),
        ("rotation", "The operation of that name alone is --data.augmentation '\\[rotation\\]'"),
        ("no/policy.yaml", "no/policy.yaml: there is no such file"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_name(written: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_policy(written, SLICES)


def test_a_file_without_a_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("rotation: {}\n")
    with pytest.raises(UserError, match="holds a mapping, expected a list of operations"):
        read_policy(str(tmp_path / "policy.yaml"), SLICES)


def test_a_file_that_is_missing_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nope\.yaml: there is no such file\..* presets "):
        written_list(str(tmp_path / "nope.yaml"))
    with pytest.raises(UserError, match=r"^--data.augmentation nope: .* none of them"):
        written_list("nope")
