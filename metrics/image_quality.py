"""MAE, PSNR and SSIM of synthetic images against the real ones that share their label maps.

A generator draws one of many slices that fit a label map, so these measure closeness to one of
them, not realism: a blurred average scores well. Read them beside the feature distances.
"""

import torch
from torch import Tensor

_DATA_RANGE = 2.0  # of images in [-1, 1]
_WINDOW = 11  # pixels, SSIM's Gaussian window of standard deviation 1.5


def paired_quality(image: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """Scores per pair.

    Args:
        image: (N, C, H, W) float in [-1, 1], each side at least 11.
        reference: the same shape and range.

    Returns:
        "mae": (N,) mean absolute difference in [0, 2]; "psnr": (N,) dB with the peak 2, infinite
        for equal images; "ssim": (N,) in [-1, 1], 1 for equal images.

    Raises:
        ValueError: shapes differ, images are too small, or values lie outside.

    Source: SSIM of Wang 2004 (doi:10.1109/TIP.2003.819861), computed by torchmetrics
    without its mirrored border.
    """
    if image.shape != reference.shape or image.ndim != 4:
        raise ValueError(
            f"images are {tuple(image.shape)} and {tuple(reference.shape)}, "
            "expected both (N, C, H, W)."
        )
    if min(image.shape[2:]) < _WINDOW:
        raise ValueError(
            f"images are {tuple(image.shape[2:])}, expected at least 11 x 11 for SSIM."
        )
    for name, values in (("image", image), ("reference", reference)):
        if values.numel() and float(values.abs().max()) > 1.001:
            raise ValueError(f"{name} reaches {float(values.abs().max()):.3g}, expected [-1, 1].")
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = image.double(), reference.double()
    squared = (first - second).square().mean(dim=(1, 2, 3))
    _, similarity = structural_similarity_index_measure(
        first,
        second,
        reduction="none",
        data_range=_DATA_RANGE,
        kernel_size=_WINDOW,
        return_full_image=True,
    )
    # Whole windows only, as in the paper and in scikit-image; torchmetrics mirrors the border.
    edge = _WINDOW // 2
    inner = similarity[:, :, edge:-edge, edge:-edge]
    return {
        "mae": (first - second).abs().mean(dim=(1, 2, 3)),
        "psnr": 10 * torch.log10(_DATA_RANGE**2 / squared),
        "ssim": inner.mean(dim=(1, 2, 3)),
    }
