"""Pretrained weights of an encoder: read, check and fit them."""

from pathlib import Path

import torch
from torch import Tensor, nn

from provenance import check_unpacked_size
from spelling import meant_path

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
"""Mean and standard deviation of ImageNet's colours, on images in [0, 1]."""

# What follows the last feature map in timm, torchvision and segmentation-models-pytorch.
_HEAD_NAMES = (
    "fc",
    "_fc",
    "classifier",
    "head",
    "last_linear",
    "conv_head",
    "_conv_head",
    "bn2",
    "_bn1",
    "norm",
    "pre_logits",
)


def read_weights(
    path: Path, origin: str | None = None, setting: str = "encoder_weights_path"
) -> dict[str, Tensor]:
    """Read a file of tensors, without running anything that is in it.

    Args:
        path: a .pth or .safetensors file.
        origin: what messages call the file; None for its path.
        setting: what to correct if it is the wrong one, for messages.

    Raises:
        ValueError: a file that is missing, damaged, or holds more than tensors.
    """
    origin = str(path) if origin is None else origin
    if not path.is_file():
        raise ValueError(
            f"{origin}: no such file, expected pretrained weights.{meant_path(path)} Correct "
            f"{setting}."
        )
    state: object
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            check_unpacked_size(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    # torch and safetensors raise kinds of errors with no common base for a damaged file.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else "empty file"
        raise _unreadable(origin, reason) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise _unreadable(origin, "it does not hold a table of named tensors")
    return state


def load_encoder_weights(
    encoder: nn.Module,
    state: dict[str, Tensor],
    origin: str,
    part: str = "encoder",
    settings: str = "encoder_name or encoder_weights_path",
) -> None:
    """Copy weights into an encoder, every tensor or none.

    timm's feature extractors rename modules (`stages.0` to `stages_0`) or wrap them in `model`, so
    names are compared without those marks. A first convolution with 3 input channels is summed for
    an encoder with 1, as timm does it: right where grey stands for three equal colours.

    Args:
        encoder: network to fill.
        state: tensors by name, in the encoder's own naming.
        origin: what messages call the file.
        part: what messages call the network.
        settings: what to correct if they do not fit, for messages.

    Raises:
        ValueError: tensors missing, left over (other than a classification head), or of another
            shape.
    """
    given = {_plain_name(name): (name, tensor) for name, tensor in state.items()}
    wanted = encoder.state_dict()
    fitted: dict[str, Tensor] = {}
    missing: list[str] = []
    for name, current in wanted.items():
        _, tensor = given.pop(_plain_name(name), ("", None))
        if tensor is None:
            # Files of old torch versions lack this counter, which evaluation does not read.
            if not name.endswith("num_batches_tracked"):
                missing.append(name)
            continue
        if tensor.dim() == 4 and tensor.shape[1] == 3 and current.shape[1] == 1:
            tensor = tensor.sum(dim=1, keepdim=True)
        if tensor.shape != current.shape:
            raise ValueError(
                f"{origin}: tensor {name} is {tuple(tensor.shape)}, expected "
                f"{tuple(current.shape)}. These are weights of another network: correct "
                f"{settings}."
            )
        fitted[name] = tensor
    left_over = [name for name, _ in given.values() if name.split(".")[0] not in _HEAD_NAMES]
    if missing or left_over:
        raise ValueError(
            f"{origin}: {len(missing)} of {len(wanted)} tensors of the {part} are missing"
            f"{_examples(missing)}, {len(left_over)} of the file fit nowhere"
            f"{_examples(left_over)}. Expected all tensors, and nothing "
            f"beside them but a classification head: correct {settings}."
        )
    encoder.load_state_dict(fitted, strict=False)


def encoder_normalisation(encoder_name: str, download: bool) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per colour, on images in [0, 1], of an encoder's training.

    Args:
        encoder_name: as in segmentation-models-pytorch.
        download: whether the record of an encoder without "tu-" may be fetched; otherwise
            ImageNet's usual numbers stand for it.
    """
    if encoder_name.startswith("tu-"):
        from timm.models import get_pretrained_cfg

        record = get_pretrained_cfg(encoder_name.removeprefix("tu-"))
        if record is None:
            return IMAGENET_MEAN, IMAGENET_STD
        return list(record.mean), list(record.std)
    if download:
        from segmentation_models_pytorch.encoders import get_preprocessing_params

        try:
            settings = get_preprocessing_params(encoder_name, "imagenet")
        # Hub and network raise kinds of errors with no common base.
        except Exception as error:
            raise ValueError(
                f"FeaturePyramid: the record of encoder {encoder_name} could not be downloaded "
                f"({type(error).__name__}: {error}). Check its name and the network, or set "
                "encoder_weights to null and encoder_weights_path to a file."
            ) from error
        return list(settings["mean"]), list(settings["std"])
    return IMAGENET_MEAN, IMAGENET_STD


def _plain_name(name: str) -> str:
    return name.removeprefix("model.").replace(".", "_")


def _examples(names: list[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _unreadable(origin: str, reason: str) -> ValueError:
    return ValueError(
        f"{origin}: could not be read as weights ({reason}). Expected a .pth file with plain "
        "tensors or a .safetensors file. Fetch it again, or save the network's state_dict() anew."
    )
