"""The embedding: its loss by hand, the same network from the same seed, and where it is kept."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import audit.kept_embedding
from audit.embedding import SIZE, STEPS, CopyEmbedding, contrastive_loss, train_embedding
from audit.kept_embedding import both_embeddings, kept_or_trained, path_of_embedding

IMAGES = torch.randint(0, 256, (12, 1, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


def test_loss_by_hand() -> None:
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Of either point: its view at cosine 1, two others at cosine 0; the nearest image is sqrt(2)
    # away.
    alike = -math.log(math.exp(10) / (math.exp(10) + 2))
    expected = alike - 0.1 * math.log(math.sqrt(2))
    assert float(contrastive_loss(points, points)) == pytest.approx(expected, abs=1e-5)


def test_same_seed_same_network_and_another_seed_another() -> None:
    first, again, other = (
        train_embedding(IMAGES, seed, steps=3).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_training_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    train_embedding(IMAGES, 0, steps=1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_points_lie_on_the_sphere_and_do_not_depend_on_brightness() -> None:
    network = CopyEmbedding().eval()
    views = torch.rand(4, 1, 32, 32)
    points = network(views)
    assert points.shape == (4, SIZE)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(network(0.5 * views + 0.2), points, atol=0.02, rtol=0)


def test_one_image_is_too_few() -> None:
    with pytest.raises(ValueError, match="1 images, expected at least 2"):
        train_embedding(IMAGES[:1], 0)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seed of every training; each takes two steps."""
    seeds: list[int] = []

    def train(images: torch.Tensor, seed: int, on_step: object) -> CopyEmbedding:
        seeds.append(seed)
        return train_embedding(images, seed, steps=2)

    monkeypatch.setattr(audit.kept_embedding, "train_embedding", train)
    return seeds


def test_it_is_trained_once_and_again_for_other_images(
    tmp_path: Path, trainings: list[int]
) -> None:
    first = kept_or_trained(tmp_path, IMAGES, 0).state_dict()
    again = kept_or_trained(tmp_path, IMAGES, 0).state_dict()
    assert trainings == [0]
    assert all(torch.equal(first[key], again[key]) for key in first)
    kept_or_trained(tmp_path, IMAGES, 1)
    kept_or_trained(tmp_path, 255 - IMAGES, 0)
    assert trainings == [0, 1, 0]
    assert {path.suffix for path in (tmp_path / "audit").iterdir()} == {".safetensors"}


@pytest.mark.parametrize("damage", [b"", b"not a network", None])
def test_a_damaged_one_is_trained_again(
    tmp_path: Path, trainings: list[int], damage: bytes | None
) -> None:
    kept_or_trained(tmp_path, IMAGES, 0)
    path = path_of_embedding(tmp_path, IMAGES, 0)
    if damage is None:  # weights that are no numbers
        from safetensors.torch import load_file, save_file

        save_file({key: value * math.nan for key, value in load_file(path).items()}, path)
    else:
        path.write_bytes(damage)
    kept_or_trained(tmp_path, IMAGES, 0)
    assert trainings == [0, 0]


def test_beside_data_that_cannot_be_written_to_it_is_not_kept(
    tmp_path: Path, trainings: list[int]
) -> None:
    (tmp_path / "audit").write_text("a file where the folder should be")
    kept_or_trained(tmp_path, IMAGES, 0)
    kept_or_trained(tmp_path, IMAGES, 0)
    assert trainings == [0, 0]


def test_training_tells_how_long_it_takes_what_is_kept_and_why_it_is_done_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]

    def train(images: torch.Tensor, seed: int, on_step: Callable[[], object]) -> CopyEmbedding:
        for _ in range(STEPS):
            now[0] += 0.1
            on_step()
        return CopyEmbedding()

    monkeypatch.setattr(audit.kept_embedding, "train_embedding", train)
    monkeypatch.setattr(audit.kept_embedding.time, "perf_counter", lambda: now[0])

    def told(images: torch.Tensor, seed: int = 0) -> str:
        assert len(both_embeddings(tmp_path, images, seed, True)) == 2
        return capsys.readouterr().err

    first = told(IMAGES)  # two of 600 steps of 0.1 s, ten of them done
    assert "embeddings: they are trained on 12 images, about 119 s more" in first
    assert "an audit that searches the same images does not train them again" in first
    assert "they are trained" not in told(IMAGES)
    assert "the 2 that are kept in the cache were trained on other images" in told(255 - IMAGES)
    assert "those that are kept for these images are of another --seed" in told(IMAGES, 3)
    path_of_embedding(tmp_path, IMAGES, 1).unlink()
    one = told(IMAGES)
    assert "one that is kept is missing or damaged; they are trained" in one
    assert "about 59 s more" in one
    both_embeddings(tmp_path, IMAGES + 1, 0, False)
    assert capsys.readouterr().err == ""
