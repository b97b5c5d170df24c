"""Models as ONNX: another runtime gives the checkpoint's numbers, for any size of batch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_format
import onnxruntime
import pytest
import torch

import export
from exporting.command import onnx
from exporting.graphs import graph_of
from exporting.onnx_file import differences, model_of, outputs_of, refuse_differences
from exporting.ports import Graph, Port
from lightning_modules.conditional.windows import window_of
from lightning_modules.loading import instantiate_module, load_module
from provenance import UserError, sha256_of
from tests.conftest import write_cache, write_film_cache
from tests.exporting.checkpoints import SECRET, cyclegan, gan, infilling, pix2pix, written

SLICES = {
    "data": {"class_path": "datamodules.KiTS19DataModule", "init_args": {"root": "slices"}},
    "class_names": ["background", "kidney", "tumour"],
    "image_form": {
        "kind": "slices",
        "image_size": 32,
        "window": {"width_hu": 400, "center_hu": 40},
    },
}


def segmenter(network: Any) -> dict[str, Any]:
    names = SLICES["class_names"]
    settings = {"network": network, "num_classes": 3, "class_names": names}
    return {"class_path": "lightning_modules.Segmenter", "init_args": settings}


def classifier(network: Any) -> dict[str, Any]:
    names = ["normal", "abnormal"]
    settings = {"network": network, "num_classes": 2, "class_names": names}
    return {"class_path": "lightning_modules.Classifier", "init_args": settings}


def run(folder: Path, inputs: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    return session.run(None, inputs)  # type: ignore[no-any-return]


UNET = {"class_path": "networks.UNet", "init_args": {"width": 4, "depth": 2}}


def test_a_segmenter_gives_its_checkpoints_logits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = write_cache(tmp_path / "slices")
    path = written(tmp_path / "best.ckpt", segmenter(UNET), **SLICES)
    out = tmp_path / "exported"
    words = [f"--checkpoint={path}", f"--out={out}", f"--root={cache}", "--num-images=3"]
    assert export.main(["onnx", *words]) == 0
    module, _ = load_module(path)
    for number in (1, 5):
        image = torch.rand(number, 1, 32, 32) * 2 - 1
        logits, shares = run(out, {"image": image.numpy()})
        expected = module(image).detach()
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        np.testing.assert_allclose(shares, expected.softmax(dim=1), atol=1e-5)
    told = json.loads((out / "model.json").read_text())
    assert told["sha256"] == sha256_of(out / "model.onnx")
    assert told["checked"]["largest_difference"]["logits"] <= 1e-4
    assert "-160 is 0" in told["preprocessing"]["steps"][-2].replace(" HU", "")
    model = onnx_format.load(out / "model.onnx")
    inside = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(inside["class_names"]) == SLICES["class_names"]
    assert json.loads(inside["understudy"])["checked"] == told["checked"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    everything = (out / "model.onnx").read_bytes() + (out / "model.json").read_bytes()
    for hidden in (SECRET, "Schmidt", str(tmp_path), str(Path(__file__).parents[2]), ".py"):
        assert hidden.encode() not in everything
    assert "Not for: diagnosis" in capsys.readouterr().out
    with pytest.raises(UserError, match="holds something"):
        onnx(checkpoint=path, out=out, root=cache)


def test_a_gan_gives_the_averaged_generators_images(tmp_path: Path) -> None:
    path = written(tmp_path / "best.ckpt", gan("DCGAN"))
    told = onnx(checkpoint=path, out=tmp_path / "exported", num_images=4)
    module: Any = load_module(path)[0]
    latent = module.latent_rows([3, 4, 5])
    [image] = run(tmp_path / "exported", {"latent": latent.numpy()})
    np.testing.assert_allclose(image, module.images_of(latent), atol=1e-4)
    assert np.abs(image - module.generator(latent)[0].detach().numpy()).max() > 0.01
    example = np.load(tmp_path / "exported/example.npz")
    [again] = run(tmp_path / "exported", {"latent": example["latent"]})
    np.testing.assert_allclose(again, example["image"], atol=1e-5)
    assert told["training"]["patients"] == 2
    assert told["training"]["licences"] == ["Kermany: CC BY 4.0"]


class Normalised(torch.nn.Module):
    """Of every image the mean square becomes 1, that of an empty one stays 0."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * (image.square().mean(dim=(1, 2), keepdim=True) + 1e-8).rsqrt()


def test_what_keeps_a_division_from_zero_is_not_left_out(tmp_path: Path) -> None:
    ports = [Port(name, (4, 4), "float32", "") for name in ("image", "result")]
    graph = Graph(Normalised(), ports[:1], ports[1:], "classification")
    model = model_of(graph, 18, tmp_path)
    image = np.stack([np.zeros((4, 4), np.float32), np.full((4, 4), 1e-4, np.float32)])
    made = outputs_of(model, {"image": image}, [2])["result"]
    np.testing.assert_allclose(made[:, 0, 0], [0.0, 2**-0.5], rtol=1e-6)


def test_other_numbers_are_refused_with_the_figure() -> None:
    expected = {"logits": torch.tensor([[0.0, 1000.0]]), "image": torch.tensor([0.5])}
    made = {"logits": np.array([[0.05, 1000.0]]), "image": np.array([0.5002])}
    found = differences(made, expected)
    assert found == pytest.approx({"logits": 5e-5, "image": 2e-4}, rel=1e-3)
    told = r"as ONNX its image differ from PyTorch's by up to 0\.0002 on 3 seeds, and 0\.0001 is"
    with pytest.raises(UserError, match=told):
        refuse_differences(found, Path("best.ckpt"), "3 seeds")
    assert differences({"image": np.array([np.nan])}, {"image": torch.ones(1)})["image"] == np.inf


def test_what_cannot_be_exported_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    for wrong, told in (({"num_images": 1}, "expected 2"), ({"opset": 9}, "expected 18 to 23")):
        with pytest.raises(UserError, match=told):
            onnx(checkpoint=path, out=tmp_path / "out", **wrong)
    with pytest.raises(UserError, match="no such checkpoint"):
        onnx(checkpoint=path, out=tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is no folder"):
        onnx(checkpoint=path, out=tmp_path / "file")
    written(path, gan("DCGAN"))
    with pytest.raises(UserError, match="a GAN makes images from noise alone"):
        onnx(checkpoint=path, out=tmp_path / "out", root=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MultiScale", "PGGAN", "StyleGAN", "StyleGAN2"])
def test_every_gan(name: str, tmp_path: Path) -> None:
    """PGGAN and StyleGAN while they grow, in the middle of a fade."""
    path = written(tmp_path / "best.ckpt", gan(name))
    onnx(checkpoint=path, out=tmp_path / "exported", num_images=4)
    module: Any = load_module(path)[0]
    latent = module.latent_rows([3, 4, 5])
    inputs, expected = {"latent": latent.numpy()}, module.images_of(latent)
    if name.startswith("Style"):
        parts = module.generator.split_latent(latent)
        inputs = {"z": parts.z.numpy(), "noise": parts.noise.numpy()}
        for truncation in (1.0, 0.5, 0.0):
            inputs["truncation"] = np.array([truncation], np.float32)
            [image] = run(tmp_path / "exported", inputs)
            np.testing.assert_allclose(image, module.images_of(latent, truncation), atol=1e-4)
        return
    np.testing.assert_allclose(run(tmp_path / "exported", inputs)[0], expected, atol=1e-4)


@pytest.mark.slow
def test_pix2pix_and_classifiers(tmp_path: Path) -> None:
    path = written(tmp_path / "pix2pix.ckpt", pix2pix(), **SLICES)
    cache = write_cache(tmp_path / "slices")
    onnx(checkpoint=path, out=tmp_path / "pix2pix", root=cache)
    module: Any = load_module(path)[0]
    labels, noise = torch.randint(3, (2, 32, 32)), module.noise_rows([1, 2])
    [image] = run(tmp_path / "pix2pix", {"labels": labels.numpy(), "noise": noise.numpy()})
    np.testing.assert_allclose(image, module.synthesise(labels, [1, 2]), atol=1e-4)
    assert not (tmp_path / "pix2pix/example.npz").exists()  # its label maps are of patients

    films = write_film_cache(tmp_path / "films")
    names = {"class_names": ["normal", "abnormal"], "thresholds": {"rules": {"youden": 0.3}}}
    network = {
        "class_path": "networks.LibraryNetwork",
        "init_args": {"name": "torchvision.models.resnet18"},
    }
    path = written(tmp_path / "classifier.ckpt", classifier(network), **names)
    told = onnx(checkpoint=path, out=tmp_path / "classifier", root=films, num_images=4)
    assert told["thresholds"]["rules"] == {"youden": 0.3}


def test_findings_have_a_probability_each(tmp_path: Path) -> None:
    network = {"class_path": "networks.VGG16", "init_args": {"width": 1, "hidden": 2}}
    model = {
        "class_path": "lightning_modules.FindingsClassifier",
        "init_args": {"network": network, "finding_names": ["effusion", "nodule", "mass"]},
    }
    graph = graph_of(instantiate_module(model, tmp_path), {"image_size": 32, "model": model}, "x")
    logits, shares = graph.network(torch.randn(2, 1, 32, 32))
    torch.testing.assert_close(shares, logits.sigmoid())
    assert "0: effusion, 1: nodule, 2: mass" in graph.outputs[0].meaning


def _module(model: dict[str, Any], tmp_path: Path) -> Any:
    return instantiate_module(model, tmp_path).eval()


@pytest.mark.parametrize("kind", ["alone", "films", "slices"])
def test_a_translation_is_one_generator(kind: str, tmp_path: Path) -> None:
    module = _module(cyclegan(conditioned=kind != "alone"), tmp_path)
    record = {**SLICES, "preparation": {"clahe": None} if kind == "films" else {}}
    image = torch.rand(3, 1, 32, 32) * 2 - 1
    labels = {"films": torch.tensor([2, 0, 1]), "slices": torch.randint(3, (3, 32, 32))}.get(kind)
    for to in ("target", "source"):
        graph = graph_of(module, record, "x", to)
        assert [one.name for one in graph.inputs] == ["image", "labels"][: 1 + (labels is not None)]
        if labels is not None:
            assert graph.inputs[1].shape == labels.shape[1:]
        given = [image] if labels is None else [image, labels]
        torch.testing.assert_close(graph.network(*given), module.translate(image, labels, to))
    assert not torch.equal(module.translate(image, labels), module.translate(image, labels, to))


def test_an_infilling_paints_its_region_alone(tmp_path: Path) -> None:
    module = _module(infilling(), tmp_path)
    graph = graph_of(module, {}, "x")
    image, wish = torch.rand(2, 1, 64, 64), torch.randint(3, (2, 64, 64))
    region = torch.zeros(2, 64, 64, dtype=torch.bool)
    region[0, 4:9, 6:12] = region[1, 40:61, 3:9] = True
    expected = module.infill(image, wish, region, [5, 6])
    for row, inside in enumerate(region):
        square = window_of(inside.numpy(), 32)
        cut = [one[row][(..., *square)][None] for one in (image, wish, region)]
        [made] = graph.network(*cut, module.noise_rows([5, 6])[row : row + 1])
        torch.testing.assert_close(made, expected[row][(..., *square)])
        assert torch.equal(made[0][~cut[2][0]], cut[0][0, 0][~cut[2][0]])


@pytest.mark.slow
def test_translations_and_infillings(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "slices")
    record = {**SLICES, "preparation": {}}
    path = written(tmp_path / "cyclegan.ckpt", cyclegan(conditioned=True), **record)
    told = onnx(checkpoint=path, out=tmp_path / "there", root=cache, direction="backward")
    assert told["generation"]["to"] == "the training's source"
    assert told["preprocessing"]["range"] == [-1.0, 1.0]
    assert "lesions may be added or lost" in told["not_for"][-1]
    module: Any = load_module(path)[0]
    image, labels = torch.rand(2, 1, 32, 32), torch.randint(3, (2, 32, 32))
    [made] = run(tmp_path / "there", {"image": image.numpy(), "labels": labels.numpy()})
    np.testing.assert_allclose(made, module.translate(image, labels, "source"), atol=1e-4)

    cache = write_cache(tmp_path / "larger", size=64)
    path = written(tmp_path / "infilling.ckpt", infilling(), **{**SLICES, "image_size": 64})
    with pytest.raises(UserError, match="is for CycleGANs, which translate images"):
        onnx(checkpoint=path, out=tmp_path / "lesions", direction="forward")
    told = onnx(checkpoint=path, out=tmp_path / "lesions", root=cache)
    assert told["checked"]["largest_difference"]["infilled"] <= 1e-4
    assert {one.name for one in (tmp_path / "lesions").iterdir()} == {"model.onnx", "model.json"}
