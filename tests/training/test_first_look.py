"""What train.py tells before Lightning is loaded is what the parser tells, and never more."""

import importlib
import inspect
import json
import pkgutil
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from command_line import parsed, with_underscores
from command_line.sentences import settings_of
from provenance import UserError
from tests.training_runs import run
from training.class_source import ROOMS, NotThereError, class_in_source
from training.first_look import RECORD, first_look, is_up_to_date, python_version
from training.flag_record import parsers_of_training

ROOT = Path(__file__).parents[2]
UNET = ROOT / "configs/kits19/unet_light.yaml"
RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))

Refusal = Callable[[list[str]], str | None]


@pytest.fixture(scope="module")
def parser_refuses() -> Refusal:
    """What the parser says of a command; None where it takes it."""
    parser, subparsers = parsers_of_training()

    def refusal(words: list[str]) -> str | None:
        try:
            parsed(parser, words, list(subparsers.values()))
        except UserError as error:
            return str(error)
        return None

    return refusal


def first_look_refuses(words: list[str]) -> str | None:
    try:
        first_look(words)
    except UserError as error:
        return str(error)
    return None


pytestmark = pytest.mark.skipif(not is_up_to_date(RECORDED), reason="flags.json is not up to date")


def test_the_record_is_what_the_parser_says_today(tmp_path: Path) -> None:
    code = (
        "from training.flag_record import flag_record, text_of\n"
        "open(told, 'w').write(text_of(flag_record()))\n"
    )
    told, errors = tmp_path / "told.json", tmp_path / "errors.log"
    assert run(code, errors, told=str(told)) == 0, errors.read_text()
    today = json.loads(told.read_text())
    if RECORDED["python"] != python_version():  # another argparse lays the help out otherwise
        today = {**today, "python": RECORDED["python"], "help": RECORDED["help"]}
    assert today == RECORDED, "`make flags` writes it anew"
    assert str(ROOT) not in told.read_text()


def test_the_source_of_every_class_shows_the_settings_that_the_parser_finds() -> None:
    certain = 0
    for room in ROOMS:
        package = importlib.import_module(room)
        modules = [f"{room}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
        for name in [room, *modules]:
            module = importlib.import_module(name)
            for kind in {*vars(module), *getattr(module, "__all__", ())}:
                value = getattr(module, kind)
                if not inspect.isclass(value) or value.__module__.split(".")[0] not in ROOMS:
                    continue
                found = class_in_source(f"{name}.{kind}")
                settings = found.settings() if found else None
                if settings is not None:
                    certain += 1
                    assert list(settings) == settings_of(f"{name}.{kind}"), f"{name}.{kind}"
    assert certain > 100
    for path in ("networks.UNett", "networks.unett.UNet", "lightning_modules.gan.GANN"):
        with pytest.raises(NotThereError):
            class_in_source(path)
    assert class_in_source("torch.nn.Linear") is None


WRONG = [
    "fit --wandbb=x",
    "fit --config={unet} --trainer.max_epoch=1",
    "fit --config {unet} --distance.num_image 5",
    "fit --config={unet} --trainerr.max_epochs=1",
    "fit --config={unet} --model.lerning_rate=1",
    "fit --config={unet} --model.init_args.lerning_rate 1",
    "fit --config={unet} --model.network.widht=1",
    "fit --config={unet} --model.network.init_args.widht=1",
    "fit --config={unet} --model.network=networks.UNett",
    "fit --config={unet} --data.rot=x",
    "fit --model=lightning_modules.Segmentor",
    "fit --data datamodules.KiTS19",
    "fit --model lightning_modules.GAN --model.los=x",
    "fit --config=no.yaml",
    "fit --config no/such/file.yaml --wandb=disabled",
]
WRONG_FILES = [
    (lambda c: c["model"]["init_args"].update(lerning_rate=1)),
    (lambda c: c["model"]["init_args"].update(netwrk={"class_path": "networks.UNet"})),
    (lambda c: c["model"]["init_args"]["network"]["init_args"].update(widht=1)),
    (lambda c: c["model"]["init_args"]["network"].update(class_path="networks.UNett")),
    (lambda c: c["model"].update(class_path="lightning_modules.segmentor.Segmenter")),
    (lambda c: c["data"]["init_args"].update(rooot="x")),
    (lambda c: c["data"].update(class_path="datamodules.KiTS19")),
    (lambda c: c.update(daat=c.pop("data"))),
    (lambda c: c.update(runfolder="x")),
    (lambda c: c["trainer"].update(max_epoch=1)),
    (lambda c: c.update(distance={"num_image": 5})),
]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words_are_refused_as_the_parser_refuses_them(
    words: str, parser_refuses: Refusal
) -> None:
    given = words.format(unet=UNET).split()
    assert parser_refuses(given) is not None
    assert first_look_refuses(given) == parser_refuses(given)


@pytest.mark.parametrize("spoil", WRONG_FILES)
def test_wrong_configurations_are_refused_as_the_parser_refuses_them(
    spoil: Callable[[Any], Any], parser_refuses: Refusal, tmp_path: Path
) -> None:
    content = yaml.safe_load(UNET.read_text(encoding="utf-8"))
    spoil(content)
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    given = ["fit", f"--config={file}", "--wandb=disabled"]
    assert parser_refuses(given) is not None
    assert first_look_refuses(given) == parser_refuses(given)


@pytest.mark.parametrize("text", ["model: [a\nb: c", "just words", "", "- a\n- b\n", "a: b: c"])
def test_what_is_no_configuration_is_refused_as_the_parser_refuses_it(
    text: str, parser_refuses: Refusal, tmp_path: Path
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    given = ["fit", "--config", str(file)]
    assert parser_refuses(given) is not None
    assert first_look_refuses(given) == parser_refuses(given)


RIGHT = [
    "fit --model lightning_modules.Segmenter --model.network networks.UNet "
    "--data datamodules.kits19.KiTS19DataModule --data.root x "
    "--model.network.width 8 --trainer.max_epochs 3",
    "fit --model=lightning.LightningModule --data=lightning.LightningDataModule",
    "fit --config={unet} --model.network=torch.nn.Conv2d --model.network.kernel_size=3",
    "fit --config={unet} --model.class_path=lightning_modules.Pix2Pix "
    "--model.generator=networks.Pix2PixGenerator --model.discriminator=networks.PatchDiscriminator",
    "fit --config={unet} --trainer.callbacks+=lightning.pytorch.callbacks.Timer "
    "--trainer.callbacks.duration=00:01:00:00",
    "fit --config={unet} --trainer.devices+=0 --trainer.logger=false",
    "fit --config={{wandb:~disabled}} --config={unet}",
    "--config={main} fit --config={unet}",
    "fit --config={unet} -c{classifier} --model.label_smoothing=0.1",
    "fit --config={unet} --config={dotted} --model.label_smoothing=0.1",
]


@pytest.mark.parametrize("words", RIGHT)
def test_what_the_parser_takes_is_not_refused(
    words: str, parser_refuses: Refusal, tmp_path: Path
) -> None:
    main = tmp_path / "main.yaml"
    main.write_text("fit:\n  run_folder: x\n")
    dotted = tmp_path / "dotted.yaml"
    dotted.write_text(
        "model.class_path: lightning_modules.Classifier\nmodel.init_args.network: networks.ResNet\n"
    )
    classifier = ROOT / "configs/chest_xray/resnet18.yaml"
    files = {"unet": UNET, "main": main, "dotted": dotted, "classifier": classifier}
    given = [word.replace("~", " ") for word in words.format(**files).split()]
    assert parser_refuses(given) is None
    assert first_look_refuses(given) is None


def test_bare_names_of_classes_are_left_to_the_parser() -> None:
    # It takes them where one class of the name is loaded, which differs from process to process.
    words = "fit --model=Segmenter --model.network=UNet --data=KiTS19DataModule --data.root=x"
    assert first_look_refuses(words.split()) is None


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("[!s]*/*.yaml")), ids=str)
def test_no_configuration_of_ours_is_refused(config: Path) -> None:
    assert first_look_refuses(["fit", "--config", str(config), "--data.root=x"]) is None


def test_whatever_is_refused_the_parser_refuses_too(
    parser_refuses: Refusal, tmp_path: Path
) -> None:
    """Configurations and flags with one letter changed, moved or left out."""
    rng, text, refused = random.Random(0), UNET.read_text(encoding="utf-8"), 0
    flags = ["--model.network.width=8", "--trainer.max_epochs=2", "--data.batch_size=4"]
    for index in range(60):
        words = [f"--config={tmp_path / f'{index}.yaml'}", *flags]
        changed, line = text, words
        if index % 2:
            spot = rng.randrange(text.index("model:"), len(text))
            changed = text[:spot] + rng.choice(["", "x", ":", ".", " "]) + text[spot + 1 :]
        else:
            number = rng.randrange(1, len(words))
            at = rng.randrange(2, len(words[number]))
            letter = rng.choice(["", "x", ".", "=", "-"])
            changed_word = words[number][:at] + letter + words[number][at + 1 :]
            line = [*words[:number], changed_word, *words[number + 1 :]]
        (tmp_path / f"{index}.yaml").write_text(changed)
        given = with_underscores(["fit", *line])
        if first_look_refuses(given) is not None:
            refused += 1
            assert parser_refuses(given) is not None, (given, changed)
    assert refused > 10
