"""A checkpoint from others runs nothing but this software, and takes no more memory than it has.

A module is planted in every place of a record that can name one; it leaves a file when it is
imported.
"""

import copy
import inspect
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lightning_modules
import networks
from evaluation.checkpoint import open_checkpoint
from lightning_modules import checkpoint_record
from lightning_modules.checkpoint_files import load_checkpoint_file
from lightning_modules.checkpoint_record import RECORD_KEY
from lightning_modules.loading import data_root, instantiate_module, load_module
from lightning_modules.recorded_class import settings_of
from lightning_modules.start_from import start_from_checkpoint
from metrics.extractor import read_state_dict
from metrics.features import build_extractor
from networks import FeaturePyramid
from networks.encoder_weights import read_weights
from provenance import UserError
from tests.planted_module import planted

UNET = {"class_path": "networks.UNet", "init_args": {"width": 1, "depth": 1}}
SEGMENTER = {
    "class_path": "lightning_modules.Segmenter",
    "init_args": {"network": UNET, "num_classes": 2, "class_names": ["none", "kidney"]},
}
DCGAN = {
    "class_path": "lightning_modules.GAN",
    "init_args": {
        "generator": {
            "class_path": "networks.DCGANGenerator",
            "init_args": {"width": 1, "latent_size": 2},
        },
        "discriminator": {"class_path": "networks.DCGANDiscriminator", "init_args": {"width": 1}},
        "image_size": 32,
        "penalties": {"r1": 0.5},
    },
}
DATA = {"class_path": "datamodules.KiTS19DataModule", "init_args": {"root": "slices"}}


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    with planted(tmp_path) as mark:
        yield mark


def write(path: Path, model: Any = SEGMENTER, state: Any = None, **record: Any) -> Path:
    """A checkpoint as train.py writes it, but for what is given here."""
    if state is None:
        state = instantiate_module(SEGMENTER, path).state_dict()
    content = {
        "state_dict": state,
        "progress": {"steps_done": 1, "images_seen": 8},
        RECORD_KEY: {
            "model": model,
            "data": DATA,
            "split": {"by": "patient", "split_id": "0" * 64, "train": ["a"], "val": [], "test": []},
            "class_names": ["none", "kidney"],
            "image_size": 16,
            **record,
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def changed(model: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A model's settings with another value at a place such as "init_args network"."""
    model = copy.deepcopy(model)
    node: Any = model
    *steps, last = place.split()
    for step in steps:
        node = node[step]
    node[last] = value
    return model


def test_an_own_checkpoint_is_loaded(tmp_path: Path) -> None:
    module, record = load_module(write(tmp_path / "own.ckpt"))
    assert isinstance(module.network, networks.UNet)
    assert record["images_seen"] == 8
    gan = instantiate_module(DCGAN, tmp_path)
    assert gan.penalties.r1 == 0.5  # type: ignore[union-attr]
    named_alone = changed(SEGMENTER, "init_args network", "networks.unet.UNet")
    assert isinstance(instantiate_module(named_alone, tmp_path).network, networks.UNet)


@pytest.mark.parametrize(
    ("model", "place", "value", "told"),
    [
        (SEGMENTER, "class_path", "planted.Module", "model names the class planted.Module"),
        (SEGMENTER, "class_path", "lightning_modules_planted.Module", "model names the class"),
        (SEGMENTER, "init_args network", "planted.make", "network names the class planted.make"),
        (SEGMENTER, "init_args network", "planted.Network", "network names the class planted"),
        (SEGMENTER, "init_args network", "networks_planted.Network", "names the class networks_pl"),
        (SEGMENTER, "init_args network", ["planted.Network"], "network is a list"),
        (SEGMENTER, "init_args network", ("planted.make",), "network is a tuple"),
        (SEGMENTER, "init_args network", "planted.yaml", "names the class planted.yaml"),
        (SEGMENTER, "init_args network class_path", "planted.make", "names the class planted"),
        (SEGMENTER, "init_args network class_path", "networks.fpn._build", "names the class netw"),
        (SEGMENTER, "init_args network class_path", "networks.unet.nn.Linear", "names the class"),
        (SEGMENTER, "init_args network class_path", "networks.fpn.Path", "names the class"),
        (SEGMENTER, "init_args network class_path", "networks..planted.make", "names the class"),
        (SEGMENTER, "init_args network class_path", ["planted.make"], "names the class"),
        (SEGMENTER, "init_args network init_args width", "planted.make", "cannot be built"),
        (
            SEGMENTER,
            "init_args network init_args width",
            {"class_path": "planted.Network"},
            "width",
        ),
        (SEGMENTER, "init_args network init_args width", [["planted.Network"]], "init_args.width"),
        (SEGMENTER, "init_args network init_args planted.make", 1, "has no such setting"),
        (SEGMENTER, "init_args network.class_path", "planted.Network", "has no such setting"),
        (SEGMENTER, "init_args network dict_kwargs", {"a": "planted.make"}, "network is a dict"),
        (SEGMENTER, "init_args network __path__", "planted.yaml", "network is a dict"),
        (SEGMENTER, "__default_config__", "planted.yaml", "model is a dict"),
        (SEGMENTER, "init_args class_weights", {"class_path": "planted.make"}, "class_weights"),
        (SEGMENTER, "init_args config", "planted.yaml", "has no such setting"),
        (DCGAN, "init_args generator", "planted.make", "model.init_args.generator names"),
        (DCGAN, "init_args discriminator class_path", "planted.Network", "discriminator names"),
        (DCGAN, "init_args penalties", {"class_path": "planted.make"}, "penalties: expected"),
        (DCGAN, "init_args penalties", "planted.make", "penalties: expected"),
        (DCGAN, "init_args penalties r1", {"class_path": "planted.make"}, "penalties.r1: expected"),
        (DCGAN, "init_args augmentation", ["planted.make"], "augmentation: expected"),
    ],
)
def test_nothing_that_a_record_names_is_imported(
    model: Any, place: str, value: Any, told: str, mark: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "foreign.ckpt", changed(model, place, value))
    with pytest.raises(UserError) as refusal:
        load_module(path)
    assert not mark.exists()
    assert told in str(refusal.value)
    assert str(path) in str(refusal.value)


LIBRARY = {
    "class_path": "networks.LibraryNetwork",
    "init_args": {
        "name": "monai.networks.nets.SegResNet",
        "settings": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
        "weights": "file.pth",
    },
}


def test_a_network_of_another_package_is_loaded(tmp_path: Path) -> None:
    """With neither the file of its weights nor a download: the checkpoint holds them."""
    model = changed(SEGMENTER, "init_args network", LIBRARY)
    made = changed(model, "init_args network init_args weights", "restored")
    module = instantiate_module(made, tmp_path).eval()
    path = write(tmp_path / "own.ckpt", model, module.state_dict())
    image = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(load_module(path)[0](image), module(image), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("name", "os.system", "is no network of"),
        ("name", "planted.make", "is no network of"),
        ("name", "monai.networks.nets.planted.make", "has no such network"),
        ("name", "monai.networks.nets.segresnet.os", "has no such network"),
        ("name", "monai.networks.nets.resnet.look_up_option", "has no such network"),
        ("name", "torchvision.models._api.get_model", "has no such network"),
        ("name", "segmentation_models_pytorch.from_pretrained", "has no such network"),
        ("settings", {"act": {"class_path": "planted.make"}}, "settings.act: expected a table"),
        ("settings", {"act": "planted.make"}, "cannot be made with these settings"),
        ("settings", {"planted.make": 1}, "has no setting planted.make"),
        ("settings", {"act": "/etc/passwd"}, "Names of files and of a hub"),
        ("settings", {"init_filters": 10**6}, "do not fit the network"),
        ("settings", ["planted.make"], "settings: expected a table"),
        ("settings", "planted.yaml", "settings: expected a table"),
        ("weights", {"class_path": "planted.make"}, "weights: expected text"),
    ],
)
def test_what_a_record_says_of_such_a_network_runs_nothing(
    place: str, value: Any, told: str, mark: Path, tmp_path: Path
) -> None:
    network = changed(LIBRARY, f"init_args {place}", value)
    path = write(tmp_path / "foreign.ckpt", changed(SEGMENTER, "init_args network", network))
    with pytest.raises(UserError) as refusal:
        load_module(path)
    assert not mark.exists()
    assert told in str(refusal.value)


@pytest.mark.parametrize("name", ["planted.Data", "datamodules_planted.Data", "os.system"])
def test_nothing_that_the_record_of_the_data_names_is_imported(
    name: str, mark: Path, tmp_path: Path, small_cache: Path
) -> None:
    path = write(tmp_path / "foreign.ckpt", data={**DATA, "class_path": name})
    with pytest.raises(UserError, match=f"data names the class {name}"):
        open_checkpoint(path, small_cache, "val", None, 0, "cpu")
    assert not mark.exists()


def test_classes_with_the_name_of_a_module_are_names(mark: Path, tmp_path: Path) -> None:
    """Text stays text: only where a class may stand is it one."""
    names = ["none", "planted.make"]
    model = changed(SEGMENTER, "init_args class_names", names)
    module, _ = load_module(write(tmp_path / "own.ckpt", model, class_names=names))
    assert module.class_names == ("none", "planted.make")
    assert not mark.exists()


@pytest.mark.parametrize("room", [lightning_modules, networks])
def test_every_setting_of_ours_can_be_checked(room: Any, tmp_path: Path) -> None:
    """A setting of a type that may be any class would be refused in every checkpoint."""
    for name in room.__all__:
        kind = getattr(room, name)
        known = settings_of(kind)
        assert known, name
        expected = {
            parameter
            for owner in ([kind, kind.__mro__[1]] if name == "GrowingGAN" else [kind])
            for parameter, entry in inspect.signature(owner).parameters.items()
            if entry.kind is entry.POSITIONAL_OR_KEYWORD
        }
        assert set(known) == expected
        for setting in known:
            model = {"class_path": f"{room.__name__}.{name}", "init_args": {setting: [["a"]]}}
            if room is networks:
                model = changed(SEGMENTER, "init_args network", model)
            with pytest.raises(UserError) as refusal:
                instantiate_module(model, tmp_path)
            assert "cannot be checked" not in str(refusal.value)
            assert f"init_args.{setting}" in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("init_args network init_args width", 2**14),  # 6 GB in the second level
        ("init_args network init_args depth", 40),
        ("init_args network init_args depth", 10**8),
        ("init_args num_classes", 10**9),
        ("init_args image_channels", 2**40),
        ("init_args network", {"class_path": "networks.VGG16", "init_args": {"hidden": 10**6}}),
        ("init_args network", {"class_path": "networks.ResNet", "init_args": {"depth": 152}}),
    ],
)
def test_a_small_file_cannot_ask_for_a_large_network(
    place: str, value: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "large.ckpt", changed(SEGMENTER, place, value))
    with pytest.raises(UserError, match=r"do not fit the network|cannot be built"):
        load_module(path)


def test_a_network_without_end_is_stopped(tmp_path: Path) -> None:
    settings = {
        "generator": {"class_path": "networks.Pix2PixGenerator", "init_args": {"width": 1}},
        "discriminator": {
            "class_path": "networks.MultiScalePatchDiscriminator",
            "init_args": {"num_scales": 10**7, "width": 1},
        },
        "image_size": 32,
        "num_classes": 2,
    }
    model = {"class_path": "lightning_modules.Pix2Pix", "init_args": settings}
    with pytest.raises(UserError, match="has more layers than the 22 tensors"):
        load_module(write(tmp_path / "endless.ckpt", model))


def test_weights_are_as_large_in_the_file_as_they_say(tmp_path: Path) -> None:
    state = instantiate_module(SEGMENTER, tmp_path).state_dict()
    name = next(iter(state))
    state[name] = torch.zeros(1).expand(10**5, 10**5)  # 40 GB, of which the file holds 4 bytes
    path = write(tmp_path / "wide.ckpt", state=state)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match=r"says that it is 100000x100000, and the file holds 4 byt"):
        load_module(path)
    # Many tensors in the place of one.
    resnet = {"class_path": "networks.ResNet", "init_args": {"depth": 152}}
    wide = changed(SEGMENTER, "init_args network", resnet)
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in instantiate_module(wide, path).state_dict().items()}
    most = max(shape.numel() for shape in shapes.values())
    shared = torch.zeros(most)
    views = {k: shared[: shape.numel()].reshape(shape) for k, shape in shapes.items()}
    path = write(tmp_path / "shared.ckpt", wide, views)
    with pytest.raises(UserError, match=r"takes 233 MB, the file has 10"):
        load_module(path)


def test_a_packed_checkpoint_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "own.ckpt", state={"a": torch.zeros(10**6)})
    packed = tmp_path / "packed.ckpt"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w") as other:
        for part in archive.infolist():
            archive.fp.seek(part.header_offset + 26)  # type: ignore[union-attr]
            name, extra = (int.from_bytes(archive.fp.read(2), "little") for _ in range(2))  # type: ignore[union-attr]
            archive.fp.seek(part.header_offset + 30 + name + extra)  # type: ignore[union-attr]
            data = archive.fp.read(part.file_size)  # type: ignore[union-attr]
            other.writestr(part.filename, data, zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 20_000
    with pytest.raises(UserError, match=r"packed\.ckpt: is damaged.*its parts are compressed"):
        load_module(packed)
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(UserError, match="not the archive that"):
        load_module(path)


def nested(depth: int) -> Any:
    value: Any = "planted.make"
    for _ in range(depth):
        value = [value]
    return value


def many(depth: int) -> Any:
    value: Any = ["a"] * 100
    for _ in range(depth):
        value = [value] * 100
    return value


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"model": nested(200)}, "nested deeper"),
        ({"also_seen": {"a": nested(200)}}, "nested deeper"),
        ({"split": {"train": many(8)}}, "nested deeper or holds more"),
        ({"model": "planted.Module"}, "model is 'planted.Module', expected dict"),
        ({"data": {"class_path": 1, "init_args": {}}}, "data is a dict, expected class_path and"),
        ({"split": {"train": "abc"}}, "split.train is 'abc', expected a list of names"),
        ({"split": {"train": [1]}}, "split.train is a list, expected a list of names"),
        ({"class_names": {"a": 1}}, "class_names is a dict"),
        ({"pixels": {"train": [1]}}, "pixels.train is a list, expected text"),
        ({"image_size": "16"}, "image_size is '16', expected int"),
        ({"versions": {1: "a"}}, "expected keys that are text"),
        ({"dataset": bytearray(3)}, "dataset is a bytearray, expected plain values"),
        ({"also_seen": {"pixels": torch.zeros(2)}}, "also_seen.pixels is a Tensor"),
    ],
)
def test_a_record_of_another_kind_is_refused(
    record: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_record, "_MOST_VALUES", 10_000)
    path = write(tmp_path / "foreign.ckpt", **record)
    with pytest.raises(UserError) as refusal:
        load_checkpoint_file(path)
    assert told in str(refusal.value)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    "progress", [None, {}, {"steps_done": 1, "images_seen": "many"}, ["planted.make"]]
)
def test_counts_that_are_none_are_told(progress: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "own.ckpt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "progress": progress}, path)
    with pytest.raises(UserError, match="what it says of its training is damaged"):
        load_module(path)


@pytest.mark.parametrize("root", ["/etc", "~/data", "../data", "data/../../x", "", None, 3, ["a"]])
def test_a_record_opens_no_folder_outside_the_working_folder(root: Any, tmp_path: Path) -> None:
    data = {**DATA, "init_args": {"root": root}}
    path = write(tmp_path / "run/checkpoints/best.ckpt", data=data)
    with pytest.raises(UserError, match="Say with --root where it is"):
        open_checkpoint(path, None, "val", None, 0, "cpu")
    for text in ("[" * 100_000, "a: [", "1", "data: 3", "data: {init_args: {root: [x]}}", "\0"):
        (tmp_path / "run/config.yaml").write_text(text)
        with pytest.raises(UserError, match="Say with --root where it is"):
            open_checkpoint(path, None, "val", None, 0, "cpu")


def test_the_run_folder_tells_where_its_data_lie(tmp_path: Path, small_cache: Path) -> None:
    path = write(tmp_path / "run/checkpoints/best.ckpt")
    assert data_root_or_none(path) is None
    config = {"data": {"init_args": {"root": str(small_cache)}}}
    (tmp_path / "run/config.yaml").write_text(json.dumps(config))
    assert data_root_or_none(path) == small_cache


def data_root_or_none(path: Path) -> Path | None:
    try:
        return data_root(path, load_module(path)[1], "--root")
    except UserError:
        return None


@pytest.mark.parametrize("split", [None, {}, {"by": "patient"}])
def test_a_record_that_tells_too_little_is_a_sentence(split: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "foreign.ckpt")
    content = torch.load(path, weights_only=True)
    content[RECORD_KEY].pop("split")
    if split is not None:
        content[RECORD_KEY]["split"] = split
    torch.save(content, path)
    with pytest.raises(UserError, match=r"does not tell split"):
        load_module(path)
    module = load_module(write(tmp_path / "own.ckpt"))[0]
    with pytest.raises(UserError, match=r"does not tell split"):
        start_from_checkpoint(module, path, ("none", "kidney"), None)


@pytest.mark.parametrize("name", ["tu-hf-hub:someone/model", "tu-local-dir:/planted", "../planted"])
def test_an_encoder_is_never_fetched_from_a_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*words: Any, **settings: Any) -> None:
        raise AssertionError("a network was asked")

    monkeypatch.setattr("socket.socket.connect", no_network)
    with pytest.raises(ValueError, match="expected the name of an encoder"):
        FeaturePyramid(1, 2, name)
    network = {"class_path": "networks.FeaturePyramid", "init_args": {"encoder_name": name}}
    model = changed(SEGMENTER, "init_args network", network)
    with pytest.raises(UserError, match="expected the name of an encoder"):
        load_module(write(tmp_path / "foreign.ckpt", model))


def test_encoders_that_read_numbers_are_built_as_shapes(tmp_path: Path) -> None:
    network = {"class_path": "networks.FeaturePyramid", "init_args": {"encoder_name": "mit_b0"}}
    model = changed(SEGMENTER, "init_args network", network)
    state = instantiate_module(model, tmp_path).state_dict()
    module, _ = load_module(write(tmp_path / "own.ckpt", model, state))
    assert isinstance(module.network, nn.Module)


def packed(source: Path, target: Path) -> Path:
    """The same archive with its parts compressed."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as other:
        for part in archive.infolist():
            data = bytes(part.file_size) if "/data/" in part.filename else archive.read(part)
            other.writestr(part.filename, data, zipfile.ZIP_DEFLATED)
    return target


def test_packed_weights_are_refused(tmp_path: Path) -> None:
    """A few kB of them would become megabytes."""
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "own.pth")
    path = packed(tmp_path / "own.pth", tmp_path / "packed.pth")
    with pytest.raises(ValueError, match="its parts are compressed"):
        read_weights(path)
    with pytest.raises(UserError, match="is not a readable file of weights"):
        read_state_dict(path)
    assert read_weights(tmp_path / "own.pth")["a"].shape == (10**6,)
    for name in ("hf-hub:someone/model", "local-dir:/planted"):
        with pytest.raises(UserError, match="expected the name of a model of timm"):
            build_extractor(f"timm:{name}", tmp_path / "own.pth")
