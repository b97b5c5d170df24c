"""The Inception extractor gives torch-fidelity's numbers, from the same files of images.

The weights are drawn here: agreement does not depend on their values, and nothing is downloaded.
"""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from metrics.distances import frechet_distance, kernel_distance
from metrics.features import build_extractor
from metrics.inception import InceptionExtractor, inception_weights
from metrics.inception_score import inception_score
from provenance import UserError

NUM_IMAGES = 12


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that keep the activations' size, so that features tell images apart."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    generator = torch.Generator().manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(nn.Module, "load_state_dict", lambda self, state: None)
        network = theirs.FeatureExtractorInceptionV3("inception", ["2048"])
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("conv.weight"):
            scale = math.sqrt(2 / value[0].numel())
            state[name] = scale * torch.randn(value.shape, generator=generator)
        elif name == "fc.weight":  # strong logits: the Inception Score is well above 1
            state[name] = torch.randn(value.shape, generator=generator)
        elif name.endswith("running_mean"):
            state[name] = 0.1 * torch.randn(value.shape, generator=generator)
        elif name.endswith("running_var"):
            state[name] = 0.8 + 0.4 * torch.rand(value.shape, generator=generator)
    path = tmp_path_factory.mktemp("weights") / "random_inception.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def extractor(weights: Path) -> InceptionExtractor:
    found = build_extractor("inception", weights)
    assert isinstance(found, InceptionExtractor)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders of grey PNG files, of another size than the network's."""
    made = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"images_{seed}")
        random = np.random.default_rng(seed)
        for index in range(NUM_IMAGES):
            coarse = random.uniform(40, 215 - 120 * seed, (4 + 3 * seed, 5))
            blown = np.asarray(Image.fromarray(coarse).resize((90, 75), Image.Resampling.BICUBIC))
            noisy = blown + random.normal(0, 20 * random.random() + 40 * seed, blown.shape)
            grey = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            grey.save(folder / f"{index:03d}.png")
        made.append(folder)
    return made


def read(folder: Path) -> Tensor:
    """(N, 1, H, W) float in [-1, 1], as the data modules give images."""
    files = sorted(folder.glob("*.png"))
    levels = np.stack([np.asarray(Image.open(file)) for file in files])
    return torch.from_numpy(levels)[:, None].float() / 127.5 - 1


def test_features_and_logits_are_torch_fidelitys(
    extractor: InceptionExtractor, weights: Path, folders: list[Path]
) -> None:
    from torch_fidelity.utils import create_feature_extractor

    reference = create_feature_extractor(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        cuda=False,
        feature_extractor_weights_path=str(weights),
        verbose=False,
    )
    images = read(folders[0])[:2]
    colour = [np.asarray(Image.open(f).convert("RGB")) for f in sorted(folders[0].iterdir())[:2]]
    expected = reference(torch.from_numpy(np.stack(colour)).permute(0, 3, 1, 2))
    with torch.autocast("cpu", torch.bfloat16):  # a metric keeps its precision
        found = extractor.features_and_logits(images)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)
    assert [tuple(part.shape) for part in found] == [(2, 2048), (2, 1008)]
    # Quantised as in a PNG: less than half a level does not matter, and a generator's image counts
    # as the file that it becomes.
    shaken = images + torch.empty_like(images).uniform_(-0.4 / 127.5, 0.4 / 127.5)
    assert torch.equal(extractor(shaken), found[0])
    assert [m.shape[2] for m in extractor.maps(images[:1])] == [73, 35, 35, 17, 8]


@pytest.mark.slow
def test_scores_are_torch_fidelitys_on_the_same_files(
    extractor: InceptionExtractor, weights: Path, folders: list[Path]
) -> None:
    import torch_fidelity

    expected = torch_fidelity.calculate_metrics(
        input1=str(folders[0]),
        input2=str(folders[1]),
        isc=True,
        fid=True,
        kid=True,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        isc_splits=3,
        kid_subsets=1,
        kid_subset_size=NUM_IMAGES,
        batch_size=6,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    (fake, logits), (real, _) = (extractor.features_and_logits(read(f)) for f in folders)
    found = {
        "frechet_inception_distance": frechet_distance(fake, real),
        "kernel_inception_distance_mean": kernel_distance(fake, real, 1, NUM_IMAGES)[0],
        "inception_score_mean": inception_score(logits, 3)[0],
        "inception_score_std": inception_score(logits, 3)[1],
    }
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-5), name
    assert found["inception_score_mean"] > 1.05  # or the agreement would say nothing
    assert found["kernel_inception_distance_mean"] > 0.01


def test_name_says_whose_weights_they_are(extractor: InceptionExtractor, weights: Path) -> None:
    from provenance import sha256_of

    assert not extractor.canonical
    assert extractor.name == f"inception_{sha256_of(weights)[:8]}"
    assert extractor.description.endswith(f"{sha256_of(weights)[:12]}, NOT those of FID")
    assert not extractor.train().network.training
    assert not any(p.requires_grad for p in extractor.parameters())


def test_building_leaves_the_global_seed_alone(weights: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    build_extractor("inception", weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(url: str, destination: str, hash_prefix: str, progress: bool) -> None:
        asked.append(url)
        if len(asked) == 1:
            raise OSError("no route to host")
        assert hash_prefix == "6726825d"
        Path(destination).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"unasked.*6726825d\.pth and pass --inception-weights"):
        build_extractor("inception")
    assert not asked
    with pytest.raises(UserError, match=r"could not be fetched \(no route to host\)"):
        inception_weights(None, download=True)
    file = inception_weights(None, download=True)
    assert file == tmp_path / "checkpoints/weights-inception-2015-12-05-6726825d.pth"
    assert inception_weights(None, download=True) == file
    assert len(asked) == 2  # the second time it is there
    assert inception_weights("elsewhere.pth", download=True) == Path("elsewhere.pth")


def test_the_url_is_torch_fidelitys() -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    from metrics.inception import WEIGHTS_URL

    assert WEIGHTS_URL == URL_INCEPTION_V3


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, (f"open({str(self.marker)!r}, 'w').close()",))


def test_weights_that_cannot_be_used_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such weights file.*--inception-weights PATH"):
        build_extractor("inception", tmp_path / "none.pth")
    trap = tmp_path / "trap.pth"
    torch.save({"fc.weight": Trap(tmp_path / "ran")}, trap)
    with pytest.raises(UserError, match=r"trap\.pth: is not a readable file of weights"):
        build_extractor("inception", trap)
    assert not (tmp_path / "ran").exists()
    foreign = tmp_path / "foreign.pth"
    torch.save({"conv1.weight": torch.zeros(2)}, foreign)
    with pytest.raises(UserError, match=r"foreign\.pth: its parameters are not those of the Incep"):
        build_extractor("inception", foreign)


def test_images_of_a_wrong_kind_are_named(extractor: InceptionExtractor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        extractor(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="NaN"):
        extractor(torch.full((1, 1, 32, 32), torch.nan))


def test_slow_libraries_are_imported_only_when_needed() -> None:
    for file in (Path(__file__).parents[2] / "metrics").glob("*.py"):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                line = ast.unparse(statement)
                assert not re.search(r"torch_fidelity|monai|timm|torchmetrics", line), file
