"""What the documentation says can be typed, opened or read is there, and parses."""

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonargparse
import pytest
import torch
import yaml

from augmentations.language import read_policy
from augmentations.operation import Images

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
STUDIES = [config for config in CONFIGS if config.parent.name == "studies"]
EXPERIMENTS = [config for config in CONFIGS if config.parent.name != "studies"]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
VERBS = (
    "prepare.py",
    "train.py",
    "generate.py",
    "evaluate.py",
    "predict.py",
    "export.py",
    "study.py",
)
PACKAGES = sorted(file.parent.name for file in ROOT.glob("*/__init__.py"))
ROOMS = "|".join(["benchmarks", "configs", "docs", "scripts", "tests", *PACKAGES])
# What the shell puts in place of a variable of the scripts.
SHELL = {"config": "configs/kits19/pix2pix.yaml", "study": "configs/studies/quickstart.yaml"}

Parse = Callable[[str, list[str]], Any]

# Lightning remarks on every command line that is read inside of another program.
pytestmark = pytest.mark.filterwarnings("ignore:.*args parameter is intended to run")


class ParsedError(Exception):
    """Ends a verb as soon as its command line is read; carries the settings."""


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Read a command line with the verb's own parser, as the verb itself sets it up."""
    original, depth = jsonargparse.ArgumentParser.parse_args, [0]

    def stop_after(self: Any, *args: Any, **kwargs: Any) -> Any:
        depth[0] += 1  # parsers call each other for the arguments of classes
        try:
            settings = original(self, *args, **kwargs)
        finally:
            depth[0] -= 1
        if depth[0] == 0:
            raise ParsedError(settings)
        return settings

    monkeypatch.setattr(jsonargparse.ArgumentParser, "parse_args", stop_after)
    monkeypatch.chdir(ROOT)

    def parse_verb(verb: str, words: list[str]) -> Any:
        monkeypatch.setattr(sys, "argv", [verb, *words])
        with pytest.raises(ParsedError) as parsed:
            importlib.import_module(verb.removesuffix(".py")).main()
        return parsed.value.args[0]

    return parse_verb


def code_blocks(page: Path) -> Iterator[str]:
    """Fenced blocks of a page, without their indentation."""
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", page.read_text(), re.S | re.M):
        yield re.sub(r"^ +(?=python )", "", block, flags=re.M)


def commands_in(text: str) -> list[tuple[str, ...]]:
    """Words of every `python something.py` line, continuation lines joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(shlex.split(x, comments=True)[1:]) for x in lines if x.startswith("python ")]


def text_of(path: str) -> str:
    return (ROOT / path).read_text()


def documented_commands() -> dict[str, list[tuple[str, ...]]]:
    """Commands by the file that gives them: pages, and comments of configurations and scripts."""
    found = {page: "".join(code_blocks(page)) for page in PAGES}
    for file in [*CONFIGS, *SCRIPTS]:
        comments = re.findall(r"^# ?(.*)$", file.read_text(), re.M)
        found[file] = "\n".join(line.strip() for line in comments)
    return {str(file.relative_to(ROOT)): commands_in(text) for file, text in found.items()}


def script_commands(script: Path) -> list[list[str]]:
    """Verb and words of the commands that a script runs, with its variables filled in."""
    text = script.read_text().replace("\\\n", " ")
    torchrun = r"(?:-m torch\.distributed\.run .*? )?"
    found = re.findall(rf"^(?!#).*?python {torchrun}(\w+\.py .*?) &$", text, re.M)
    assert found, f"{script.name} runs no verb in the background"
    filled = [
        re.sub(r"\$(\w+)", lambda m: SHELL.get(m[1], "1"), c.replace('"$@"', "")) for c in found
    ]
    return [shlex.split(command) for command in filled]


@pytest.mark.parametrize("source", sorted(documented_commands()))
def test_commands_parse(source: str, parse: Parse) -> None:
    for script, *words in documented_commands()[source]:
        assert (ROOT / script).is_file(), f"{source}: {script}"
        if script in VERBS and "--help" not in words:
            try:
                parse(script, list(words))
            except SystemExit as end:  # with 0 after --print_config
                if end.code:
                    pytest.fail(f"{source}: {script} {shlex.join(words)} is refused")


def test_the_readme_shows_every_verb() -> None:
    assert {command[0] for command in documented_commands()["README.md"]} == set(VERBS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_cluster_scripts_are_sound(script: Path, parse: Parse) -> None:
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    for verb, *words in script_commands(script):
        parse(verb, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_and_make_targets_exist(page: Path) -> None:
    text = page.read_text()
    example = set(example_files()) if page.name == "CONTRIBUTING.md" else set()
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for path in re.findall(rf"`((?:{ROOMS})/[\w./-]*)`", text):
        assert path in example or (ROOT / path).exists(), f"{page.name} names {path}"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for words in re.findall(r"(?:^|`)make ([^`\n#]+)", text, re.M):
        named = {word for word in words.split() if "=" not in word}
        assert named <= targets, f"{page.name}: make {words}"


def trainings_of(config: Path, out: Path) -> list[list[str]]:
    """Arguments of `train.fit` for every training of a study's first seed; nothing is trained."""
    from studies.run.folder import Study
    from studies.run.job import Job
    from studies.run.kind import KINDS
    from studies.run.verbs import Verbs
    from studies.specification.generator_names import GeneratorJob
    from studies.specification.read import load_specification

    study = Study(load_specification(config), Path("data"), out)
    specification = study.specification
    plans = dict(specification.plans)
    for name, plan in plans.items():
        if isinstance(plan.per_class, str):  # the data would say which
            plans[name] = replace(plan, per_class=("normal",))
    study = replace(study, specification=specification.with_plans(plans))
    lines: list[list[str]] = []

    def fit(words: list[str]) -> SimpleNamespace:
        lines.append(list(words))
        checkpoint = out / f"{len(lines)}.ckpt"
        checkpoint.write_text("weights")
        folder = Path(words[words.index("--run_folder") + 1])
        return SimpleNamespace(
            run_folder=folder,
            best_checkpoint=checkpoint,
            last_checkpoint=checkpoint,
            images_seen=1,
            real_images_seen=1,
            seconds=0.0,
        )

    row = {specification.metric.name: 1.0, "label": 1, "probability": 1.0, "correct": 1}
    verbs = Verbs(
        fit,
        lambda **_: out,
        lambda **_: {"images": [row]},
        lambda **_: {"distances": {}, "scores": {}},
        lambda **_: {},
        lambda args, timed: None,
        lambda **_: {},
    )
    names = [GeneratorJob(name, specification.seeds[0]).name for name in plans]
    names += [cell.name for cell in specification.cells() if cell.seed == specification.seeds[0]]
    for name in names:
        KINDS[specification.kind].perform(Job(name, study, verbs, {"seed": 0}, []))
    assert len(lines) >= len(names)
    return lines


@pytest.mark.parametrize("config", EXPERIMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_configurations_are_whole(config: Path, parse: Parse) -> None:
    """Experiments parse alone, overlays after an experiment."""
    base = ["--config", "configs/kits19/unet_light.yaml"] if config.parent.name == "trainer" else []
    settings = parse("train.py", ["fit", *base, "--config", str(config)])
    assert settings.fit.trainer.max_epochs == (100 if base else settings.fit.trainer.max_epochs)
    assert settings.fit.model.class_path.startswith("lightning_modules.")


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_every_cell_of_every_study_parses(study: Path, parse: Parse, tmp_path: Path) -> None:
    for words in trainings_of(study, tmp_path):
        parse("train.py", words)


ONE_NUMBER = re.compile(r"(?<= )-?[\d.]+(e-?\d+)?$")


def type_of_number(found: re.Match[str]) -> str:
    return "a whole number" if re.fullmatch(r"-?\d+", found[0]) else "a number"


def test_studies_parse(parse: Parse, tmp_path: Path) -> None:
    """Every configuration, and every flag and value beside every kind of module and network.

    One number of a flag parses as another of its type. Any augmentation parses: that each is one,
    their own language says.
    """
    seen: set[Any] = set()
    for study in STUDIES:
        (tmp_path / study.stem).mkdir()
        for words in trainings_of(study, tmp_path / study.stem):
            flags = [f for f in shlex.join(words).split(" --") if str(tmp_path) not in f]
            files = [flag.split()[1] for flag in flags if flag.startswith("config ")]
            kind = tuple(re.findall(r"class_path: *(\S+)", "".join(map(text_of, files))))
            said = {(kind if not flag.startswith("config ") else "", flag) for flag in flags}
            policies = {one for one in said if one[1].startswith("data.augmentation ")}
            for _, flag in policies - seen:
                images = Images(masks="kits19" in files[0], labels="kits19" not in files[0])
                read_policy(yaml.safe_load(shlex.split(flag)[1]), images)
            seen |= policies
            said = (said - policies) | {(kind, "data.augmentation") for _ in policies}
            said = {(beside, ONE_NUMBER.sub(type_of_number, flag)) for beside, flag in said}
            if said - seen:
                parse("train.py", words)
                seen |= said


def test_later_overlay_wins(parse: Parse) -> None:
    files = ["configs/kits19/pix2pix.yaml", "configs/trainer/ddp.yaml"]
    settings = parse("train.py", ["fit", "--config", files[0], "--config", files[1]]).fit
    assert settings.trainer.precision == "bf16-mixed"
    assert settings.trainer.max_epochs == 200


def test_parameter_counts() -> None:
    import networks

    rows = re.findall(r"^\| `(\w+)`.*?\| (.*?) \| ([\d.]+) M \|", docs_page("training.md"), re.M)
    assert len(rows) == 8
    for name, settings, millions in rows:
        given = {what: int(n) for what, n in re.findall(r"(width|depth) (\d+)", settings)}
        arguments: tuple[int, ...] = (1, 3)
        if name == "Pix2PixGenerator":
            arguments = (3, 1, int(re.findall(r"(\d+) px", settings)[0]))
        elif name == "MultiScalePatchDiscriminator":
            arguments = (3 + 1,)
            given["num_scales"] = int(re.findall(r"(\d) scale", settings)[0])
        elif name == "FeaturePyramid":
            given["encoder_name"] = re.findall(r"`(.*)`", settings)[0]
        with torch.device("cpu" if name == "FeaturePyramid" else "meta"):
            network = getattr(networks, name)(*arguments, **given)
        count = sum(parameter.numel() for parameter in network.parameters())
        assert f"{count / 1e6:.2f}" == millions, f"{name}, {settings}"


def test_quoted_sentences_are_those_of_the_code() -> None:
    said = set()
    files = [file for room in PACKAGES for file in (ROOT / room).rglob("*.py")]
    for file in [*files, *ROOT.glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.add(node.value)
    quoted = re.findall(r"^\| [^|`]+ \| `([^`]+)`", docs_page("data.md"), re.M)
    assert len(quoted) > 20
    for sentence in quoted:
        for part in sentence.split("<...>"):
            words = part.strip(" .(),:")
            assert any(words in text for text in said), f"nothing in the code says {words!r}"


def docs_page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def example_files() -> dict[str, str]:
    """The worked example of CONTRIBUTING.md: contents by file name."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return dict(re.findall(r"`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)```", text, re.S))


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Path]:
    """The worked example beside the project, its modules findable in their rooms."""
    files = example_files()
    assert len(files) == 5
    rooms = {name.split("/")[0] for name in files} - {"configs", "tests"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    packages = [importlib.import_module(room) for room in sorted(rooms)]
    for package in packages:
        package.__path__.append(str(tmp_path / package.__name__))
    yield tmp_path
    for package in packages:
        package.__path__.remove(str(tmp_path / package.__name__))
    for name in files:
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)


def test_worked_example_trains(
    example: Path, small_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train
    from lightning_modules.loading import load_module

    monkeypatch.chdir(ROOT)
    given = ["fit", f"--config={example / 'configs/kits19/dilated.yaml'}", "--wandb=disabled"]
    given += [f"--data.root={small_cache}", f"--run_folder={example / 'run'}"]
    given += ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--model.network.width=4"]
    result = train.fit([*given, "--model.focus=1.5", "--trainer.enable_progress_bar=false"])
    module, record = load_module(result.best_checkpoint)
    assert type(module).__name__ == "FocalSegmenter"
    assert record["model"]["init_args"]["focus"] == 1.5


def test_worked_examples_test_passes(example: Path) -> None:
    spec = importlib.util.spec_from_file_location("t", example / "tests/losses/test_focal.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()
