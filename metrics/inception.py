"""The Inception network of FID, KID and Inception Score, as torch-fidelity carries it.

Those scores mean one network, one file of weights and one way to resize; a number of any other is
not comparable with published ones. Reading the network and its resizing from torch-fidelity, and
quantising as a PNG does, gives torch-fidelity's numbers.

Published features are those of photographs. Read a distance between films in them beside the floor
of real against real.
"""

import io
from pathlib import Path

import torch
from torch import Tensor

from metrics.extractor import FeatureExtractor, check_images, read_state_dict
from provenance import UserError, sha256_of

WEIGHTS_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
_WEIGHTS_NAME = WEIGHTS_URL.rsplit("/", 1)[1]
_WEIGHTS_SHA256 = "6726825d"  # its first digits, at the end of the file's name
_FLAG = "--inception-weights"
_MAPS = ("MaxPool_1", "MaxPool_2", "Mixed_5d", "Mixed_6e", "Mixed_7c")


class InceptionExtractor(FeatureExtractor):
    """Inception v3 of 2015: 2048 pooled features, and logits for the Inception Score.

    Images become 8-bit first, as they do in a PNG, then 299 x 299 by TensorFlow 1's bilinear
    resizing, which does not smooth when it shrinks. Unlike in other extractors no gradient flows
    to the images, since 8-bit levels have none.

    Args:
        weights_path: torch-fidelity's file of weights, or another state dict for this network.

    Attributes:
        canonical: whether they are the weights that FID is defined by. The name is "inception"
            then, and "inception_<hash of the weights>" otherwise.

    Raises:
        UserError: the file is missing, unreadable or of another network.

    Sources: Szegedy 2016, arXiv:1512.00567; Heusel 2017, arXiv:1706.08500; torch-fidelity,
    doi:10.5281/zenodo.4957738.
    """

    canonical: bool

    def __init__(self, weights_path: Path | str) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = Path(weights_path)
        state = read_state_dict(path, _FLAG)
        # torch-fidelity unpickles whatever file it is given. It gets a copy of what was read
        # safely, and so does not download either.
        safe = io.BytesIO()
        torch.save(state, safe)
        safe.seek(0)
        with torch.random.fork_rng(devices=[]):  # layers fill themselves from the global generator
            try:
                self.network = FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048", "logits_unbiased"], safe
                )
            except RuntimeError as error:
                raise UserError(
                    f"{path}: its parameters are not those of the Inception of FID. Give "
                    f"torch-fidelity's {_WEIGHTS_NAME}."
                ) from error
        sha256 = sha256_of(path)
        self.canonical = sha256.startswith(_WEIGHTS_SHA256)
        self.name = "inception" if self.canonical else f"inception_{sha256[:8]}"
        self.description = (
            "inception: Inception v3 of 2015 by torch-fidelity, 8-bit images, TensorFlow's "
            f"bilinear resizing to 299x299, weights {path.name} sha256 {sha256[:12]}"
            + ("" if self.canonical else ", NOT those of FID")
        )
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """See `FeatureExtractor.forward`. D = 2048."""
        return self.features_and_logits(images)[0]

    def features_and_logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Both in one pass.

        Args:
            images: (N, 1 | 3, H, W) float in [-1, 1].

        Returns:
            (N, 2048) features and (N, 1008) logits without bias, which the Inception Score uses;
            float32.
        """
        levels = _eight_bit(images)
        with torch.autocast(levels.device.type, enabled=False):  # a metric keeps its precision
            features, logits = self.network(levels)
        return features, logits

    def maps(self, images: Tensor) -> list[Tensor]:
        """Five feature maps of 73, 35, 35, 17 and 8 pixels a side."""
        found: list[Tensor] = []
        hooks = [
            self.network.get_submodule(name).register_forward_hook(
                lambda module, inputs, output: found.append(output)
            )
            for name in _MAPS
        ]
        try:
            self.features_and_logits(images)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def inception_weights(path: Path | str | None, download: bool = False) -> Path:
    """The file of weights: the one given, or torch-fidelity's when a download is asked for.

    Args:
        path: a file; nothing is fetched then.
        download: take the file from torch's hub folder, and fetch it into there if it is not.

    Raises:
        UserError: no path and no download; or the download failed.
    """
    if path is not None:
        return Path(path)
    if not download:
        raise UserError(
            f"'inception': needs its weights as a file; nothing is downloaded unasked. Fetch "
            f"{WEIGHTS_URL} and pass {_FLAG} PATH (evaluate.py images: --weights PATH). "
            'Without them, "random_vgg" needs no file and "timm:<name>" another one.'
        )
    file = Path(torch.hub.get_dir()) / "checkpoints" / _WEIGHTS_NAME
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                WEIGHTS_URL, str(file), hash_prefix=_WEIGHTS_SHA256, progress=False
            )
        except (OSError, RuntimeError) as error:  # no network, a full disk, or another hash
            raise UserError(
                f"{WEIGHTS_URL}: could not be fetched ({error}). Nothing was kept. Fetch the file "
                f"elsewhere and pass {_FLAG} PATH."
            ) from error
    return file


def _eight_bit(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8, as a PNG of the images holds it; grey repeated."""
    check_images(images)
    if not bool(torch.isfinite(images).all()):
        raise ValueError("images hold NaN or infinity, which 8-bit levels would hide.")
    levels = ((images.float().clamp(-1, 1) + 1) * 127.5).round()
    return levels.to(torch.uint8).expand(-1, 3, -1, -1)
