"""Our distance after an epoch beside a cold call of torch-fidelity, with one Inception in both.

    OMP_NUM_THREADS=1 python benchmarks/distance_cost.py --root CACHE [--num-images 96]

CACHE holds films as prepare.py writes them; their features are kept in a folder beside it that goes
afterwards. A DCGAN of random weights makes the other images. The Inception has seeded random
weights, so nothing is downloaded; time and agreement do not depend on their values. Ours makes the
images, has the features of the films from the epoch before, and gives Frechet and kernel distance,
floor and diversity. torch-fidelity reads both sets from PNG files, and gives FID and KID. Seconds
are the processor's.
"""

import argparse
import logging
import math
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import networks
from callbacks import distance_per_epoch
from callbacks.distance_per_epoch import DistancePerEpoch
from datamodules import ChestXrayDataModule
from device import keep_freed_memory
from lightning_modules import GAN
from lightning_modules.step.seeds import derived_seed


def random_inception(path: Path) -> None:
    """Write a state dict of torch-fidelity's network, with He's scale for the convolutions."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    with (
        mock.patch.object(theirs, "load_state_dict_from_url", return_value={}),
        mock.patch.object(nn.Module, "load_state_dict"),
    ):
        network = theirs.FeatureExtractorInceptionV3("inception", ["2048"])
    generator = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("conv.weight"):
            scale = math.sqrt(2 / value[0].numel())
            state[name] = scale * torch.randn(value.shape, generator=generator)
        elif name.endswith("running_mean"):
            state[name] = 0.1 * torch.randn(value.shape, generator=generator)
        elif name.endswith("running_var"):
            state[name] = 0.8 + 0.4 * torch.rand(value.shape, generator=generator)
    torch.save(state, path)


def write_images(images: Tensor, folder: Path) -> None:
    """(N, 1, H, W) in [-1, 1] as 8-bit grey PNG files."""
    from PIL import Image

    folder.mkdir()
    levels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    for index, one in enumerate(levels):
        Image.fromarray(one[0].numpy()).save(folder / f"{index:05d}.png")


def main() -> None:
    """Print seconds and values of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="cache of films")
    parser.add_argument("--num-images", type=int, default=96, help="of each set")
    given = parser.parse_args()
    keep_freed_memory()
    logging.disable(logging.WARNING)
    data = ChestXrayDataModule(str(given.root), batch_size=32, label_column="none")
    data.setup("fit")
    count, size = given.num_images, data.image_size
    module = GAN(
        partial(networks.DCGANGenerator, width=64), partial(networks.DCGANDiscriminator, width=64),
        size, data.channels, "non_saturating",
    )  # fmt: skip
    module.averaged.images_averaged = 1  # so that the statistics of its batches are estimated
    values: dict[str, float] = {}
    module.log_dict = lambda found, **_: values.update(found)  # type: ignore[method-assign]
    trainer: Any = SimpleNamespace(
        datamodule=data, sanity_checking=False, current_epoch=0, max_epochs=2, callback_metrics={},
        is_global_zero=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        weights = scratch / "inception.pth"
        random_inception(weights)
        callback = DistancePerEpoch("inception", str(weights), count, collapsed_below=0)
        # Kept here and not in the cache, which is the user's.
        path_of = distance_per_epoch.path_of_features
        kept = mock.patch.object(
            distance_per_epoch, "path_of_features", lambda _, *rest: path_of(scratch, *rest)
        )
        with kept:
            callback.on_fit_start(trainer, module)
            callback.on_validation_epoch_end(trainer, module)
            module.averaged.images_averaged += 1
            started = time.process_time()
            callback.on_validation_epoch_end(trainer, module)
            ours = time.process_time() - started
        films = data.evaluation_set("train")
        chosen = torch.linspace(0, len(films) - 1, count, dtype=torch.float64).round().long()
        real = [data.to_unit({"image": films[i]["image"][None]})["image"] for i in chosen.tolist()]
        write_images(torch.cat(real), scratch / "real")
        seeds = [derived_seed(module.seed, "distance", i) for i in range(count)]
        write_images(module.synthesise(seeds), scratch / "made")
        from torch_fidelity import calculate_metrics

        started = time.process_time()
        expected = calculate_metrics(
            input1=str(scratch / "made"), input2=str(scratch / "real"), fid=True, kid=True,
            kid_subset_size=count // 2, kid_subsets=50, cuda=False, cache=False, verbose=False,
            feature_extractor_weights_path=str(weights), batch_size=32, save_cpu_ram=True,
        )  # fmt: skip
        theirs = time.process_time() - started
    own = next(v for k, v in values.items() if k.startswith("val/frechet") and "_" in k)
    fid = expected["frechet_inception_distance"]
    print(f"{count} images of {size} px in each set, {torch.get_num_threads()} thread(s)")
    print(f"torch-fidelity {theirs:7.1f} s   distance {fid:.6g}")
    print(f"ours           {ours:7.1f} s   distance {own:.6g}")
    print(f"time {ours / theirs:.2f} of theirs, distance off by {abs(own / fid - 1):.1e} of it")


if __name__ == "__main__":
    main()
