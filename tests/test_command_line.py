"""What the verbs share: spelling of flags, errors in words, exit statuses."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from command_line import (
    PARSER_SETTINGS,
    Stopped,
    call,
    description_of,
    function_parser,
    parsed,
    run_verb,
    stopped_by_sigterm,
    verb_parser,
    with_underscores,
)
from command_line.sentences import sentence_of
from provenance import UserError, whole_file

ROOT = Path(__file__).parents[1]


@pytest.fixture
def parser() -> ArgumentParser:
    parser = verb_parser("verb.py", "Does something.")
    parser.add_argument("--num_images", type=int | None, default=1)
    parser.add_argument("--split", type=Literal["train", "test"], default="train")
    parser.add_argument("--out", type=str, required=True)
    return parser


def test_flags_take_dashes() -> None:
    words = ["--num-images", "5", "--out=a-b", "x-y", "--data.batch-size=3"]
    spelled = ["--num_images", "5", "--out=a-b", "x-y", "--data.batch_size=3"]
    assert with_underscores(words) == spelled


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--num_imags=3"], "--num_imags: no such flag. Did you mean --num_images?"),
        (["--num_im=3"], "--num_im: no such flag."),  # an abbreviation
        (["--num_images=x"], "--num_images: expected a whole number, found 'x'."),
        (["--split=tset"], "--split: expected one of 'train', 'test', found 'tset'."),
        (["extra"], "extra: unexpected word; flags begin with --."),
        (["--config=no.yaml"], "--config no.yaml: there is no such file."),
        (["--config={bad}"], "--config {bad}: cannot be read as YAML"),
        ([], "missing: --out."),
    ],
)
def test_errors_are_sentences(
    parser: ArgumentParser, words: list[str], sentence: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("split: [unclosed\n a: b: c")
    given = [word.replace("{bad}", str(bad)) for word in words]
    if given:
        given.append("--out=x")
    with pytest.raises(UserError) as caught:
        parsed(parser, given)
    assert str(caught.value).startswith(sentence.replace("{bad}", str(bad)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plan", "--only=a"], "--only: is no flag of verb.py plan, but of verb.py run."),
        (["run", "--onyl=a"], "--onyl: no such flag. Did you mean --only?"),
        (["plan", "--meazure=a"], "--meazure: no such flag. Did you mean --measure?"),
        (["plan", "--onyl=a"], "--onyl: no such flag. Add --help"),
    ],
)
def test_a_flag_of_another_subcommand_is_said_to_be_one(words: list[str], sentence: str) -> None:
    parser = ArgumentParser(prog="verb.py", **PARSER_SETTINGS)
    commands, subparsers = parser.add_subcommands(required=True), []
    for name, flag in (("run", "--only"), ("plan", "--measure")):
        subparsers.append(ArgumentParser(prog=f"verb.py {name}", **PARSER_SETTINGS))
        subparsers[-1].add_argument(flag, type=str)
        commands.add_subcommand(name, subparsers[-1])
    with pytest.raises(UserError) as caught:
        parsed(parser, words, subparsers)
    assert str(caught.value).startswith(sentence)


@dataclass
class Edge:
    """Settings within a setting."""

    width: int = 1


class Part:
    """A class that a setting may name."""

    def __init__(self, size: int = 1, edge: Edge = Edge()) -> None:  # noqa: B008
        self.size, self.edge = size, edge


PART = f"{__name__}.Part"

# jsonargparse's own words for every kind of error, and the sentence that is made of them.
WORDINGS = [
    ("a --nosuch=3", "unrecognized arguments: --nosuch=3", "--nosuch: no such flag."),
    (
        "b",
        "argument subcommand: invalid choice: 'b' (choose from ",
        "b: no such subcommand. There is: a.",
    ),
    (
        "--config={empty}",
        'expected "subcommand" to be one of {a}, but it was not provided.',
        "missing: a subcommand, one of a.",
    ),
    ("a", "the following arguments are required: a.out", "missing: --out."),
    ("a --out", "argument --out: expected one argument", "--out: expected one value."),
    (
        "a --out=x --size=many",
        'Parser key "size":\n  Does not validate against any of the Union subtypes\n'
        "  Subtypes: [<class 'int'>, <class 'NoneType'>]\n  Errors:\n"
        "    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n"
        "  Given value type: <class 'str'>\n  Given value: many",
        "--size: expected a whole number, found 'many'.",
    ),
    (
        "a --out=x --side=middle",
        "Parser key \"side\":\n  Expected a typing.Literal['left', 'right']. Got value: middle",
        "--side: expected one of 'left', 'right', found 'middle'.",
    ),
    (
        "a --out=x --part.sice=3",
        f"Parser key \"part\":\n  Problem with given class_path '{PART}':\n"
        "    Option 'sice' is not accepted",
        f"--part.sice: {PART} has no such setting. Did you mean size? Settings: size, edge.",
    ),
    (
        "a --out=x --config={grouped}",
        f"Parser key \"part\":\n  Problem with given class_path '{PART}':\n"
        "    Group 'edge' does not accept option 'wdth'",
        f"--part.edge.wdth: {PART} has no such setting. Did you mean width? Settings: width.",
    ),
    (
        "a --out=x --part=Port",
        'Parser key "part":\n\n  - Expected a path but Port either not accessible or invalid\n'
        "  - Expected a dot import path string: Port",
        "--part: Port is no class that can be imported",
    ),
    (
        f"a --out=x --part={__name__}.Port",
        f'Parser key "part":\n\n  - Expected a path but {__name__}.Port either not accessible '
        f"or invalid\n  - Problem with given class_path '{__name__}.Port':\n"
        f"    module '{__name__}' has no attribute 'Port'",
        f"--part: {__name__}.Port is no class that can be imported",
    ),
    (
        "a --config={misspelt}",
        "Subcommand 'a' does not accept option 'otu.far'",
        "--config {misspelt}: otu: no such setting. Did you mean out?",
    ),
    (
        "a --config={broken}",
        "Problems parsing config: while parsing a flow sequence",
        "--config {broken}: cannot be read as YAML (while parsing a flow sequence",
    ),
    ("a --config={words}", "Unexpected config: just words", "--config {words}: holds no settings"),
    (
        "a --config=no.yaml",
        'Parser key "config": File does not exist: ',
        "--config no.yaml: there is no such file.",
    ),
]


@pytest.mark.parametrize(("words", "raw", "sentence"), WORDINGS)
def test_jsonargparse_words_its_errors_as_the_sentences_expect(
    words: str, raw: str, sentence: str, tmp_path: Path
) -> None:
    files = {
        "broken": "a: [b",
        "misspelt": "otu: {far: x}",
        "words": "just words",
        "empty": "{}",
        "grouped": f"part: {{class_path: {PART}, init_args: {{edge: {{wdth: 3}}}}}}",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    paths = {name: str(tmp_path / name) for name in files}
    given = [word.format(**paths) for word in words.split()]
    parser, sub = verb_parser("verb.py", None), verb_parser("verb.py a", None)
    sub.add_argument("--out", type=str, required=True)
    sub.add_argument("--size", type=int | None, default=1)
    sub.add_argument("--side", type=Literal["left", "right"], default="left")
    sub.add_subclass_arguments(Part, "part", default={"class_path": PART})
    parser.add_subcommands(required=True).add_subcommand("a", sub)
    with pytest.raises(ArgumentError) as caught:
        parser.parse_args(given)
    assert str(caught.value).startswith(raw), "mend the expressions of command_line/sentences.py"
    told = sentence_of(caught.value, given, (parser, sub))
    assert told.startswith(re.sub(r"{(\w+)}", lambda name: paths[name[1]], sentence))
    assert "\n" not in told


def test_a_misspelt_key_is_named_where_there_are_no_subcommands(
    parser: ArgumentParser, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("out: x\nnum_imags: 3\n")
    with pytest.raises(UserError, match=r"num_imags: no such setting. Did you mean num_images\?"):
        parsed(parser, [f"--config={tmp_path / 'c.yaml'}"])


@dataclass(frozen=True, kw_only=True)
class Division:
    """How things are divided.

    Attributes:
        split_by: What stays together.
        split_ratios: Shares of the two sides.
    """

    split_by: Literal["patient", "image"] = "patient"
    split_ratios: tuple[float, float] = (0.5, 0.5)


def join(
    parts: tuple[Path, ...],
    *,
    out: Path,
    names: tuple[str, ...] = (),
    check: bool = False,
    size: int | None = None,
    division: Division = Division(split_by="image"),
) -> tuple[object, ...]:
    """Join parts.

    Of any number.

    Args:
        parts: The parts.
        out: Where they go.
        names: What they are
            called.
        check: Whether they are looked at.
        size: Of all.
        division: See `Division`.
    """
    return parts, out, names, check, size, division


def joined(*words: str) -> tuple[object, ...]:
    return call(join, parsed(function_parser("join", join), with_underscores(words)))


def test_the_signature_of_a_function_is_its_flags() -> None:
    parts, out = (Path("a"), Path("b")), Path("c")
    usual = Division(split_by="image")
    assert joined("a", "b", "--out=c") == (parts, out, (), False, None, usual)
    given = joined("a", "b", "--out", "c", "--check", "--size", "3", "--names", "x=1", "y")
    assert given == (parts, out, ("x=1", "y"), True, 3, usual)
    division = joined("a", "--out=c", "--split-ratios", "0.2", "0.8", "--split-by=patient")[-1]
    assert division == Division(split_ratios=(0.2, 0.8))
    assert joined("a", "--out=c", "--check=false")[3] is False


def test_the_signature_of_a_function_reads_a_config_file(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("out: c\nnames: [x]\ncheck: true\nsplit_ratios: [1, 0]\n")
    _, *rest = joined("a", f"--config={config}")
    assert rest == [Path("c"), ("x",), True, None, Division(split_by="image", split_ratios=(1, 0))]


def test_the_docstring_of_a_function_is_its_help() -> None:
    told = " ".join(function_parser("join", join).format_help().split())
    assert "Join parts. Of any number. In flags, - and _ mean the same." in told
    assert "What they are called. (type: str, default: [])" in told
    assert "--split_ratios SPLIT_RATIOS SPLIT_RATIOS Shares of the two sides." in told
    assert "(type: Literal['patient', 'image'], default: image)" in told
    assert "--division" not in told


def test_commands_of_a_description_keep_their_lines() -> None:
    described = """Join parts.

    Any number of them, in a paragraph that is filled again.

        join a b \\
            --out c
    """
    told = verb_parser("join", described).format_help()
    assert "\n    join a b \\\n        --out c\n" in told
    assert "Args:" not in description_of(join)


@pytest.mark.parametrize(
    "verb", ["prepare", "train", "generate", "evaluate", "predict", "export", "study"]
)
def test_a_python_without_the_packages_is_told_what_to_do(verb: str) -> None:
    command = [sys.executable, "-S", f"{verb}.py", "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{verb}.py: the Python that runs it (")
    assert "run `source .venv/bin/activate`" in ended.stderr


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (UserError("the sentence."), 2, "verb.py: the sentence.\n"),
        (OSError(28, "No space left on device", "a.png"), 2, "verb.py: a.png: No space left"),
        (KeyboardInterrupt(), 130, "\nverb.py: stopped. The same command continues"),
        (Stopped("stopped by SIGTERM.", 143), 143, "\nverb.py: stopped by SIGTERM.\n"),
    ],
)
def test_failures_have_a_sentence_and_a_status(
    error: BaseException, status: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb("verb.py", raising(error)) == status
    assert capsys.readouterr().err.startswith(printed)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new/a.txt"
    with whole_file(path) as stream:
        stream.write(b"first")

    def fill_the_disk() -> None:
        with whole_file(path) as stream:
            stream.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"full: the file takes more than .* free") as caught:
        fill_the_disk()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"first"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_what_the_terminal_cannot_show_is_escaped_and_ends_nothing() -> None:
    script = (
        "from command_line import run_verb\n"
        "name = b'M\\xfcller'.decode(errors='surrogateescape')\n"
        "run_verb('verb.py', lambda: print('Möller', name))\n"
    )
    for encoding, shown in (("ascii", r"M\xf6ller M\udcfcller"), ("utf-8", r"Möller M\udcfcller")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": f"{encoding}:surrogateescape"},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode("utf-8").strip() == shown


def test_sigterm_ends_work_with_a_sentence_and_after_its_clean_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with stopped_by_sigterm("The same command goes on."):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                cleaned.append(1)

    assert run_verb("study.py", work) == 143
    assert cleaned
    assert capsys.readouterr().err == (
        "\nstudy.py: stopped by SIGTERM. The same command goes on.\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("word", ["--num-imags=3", "--num_imags=3"])
def test_a_misspelt_flag_is_named_as_it_was_typed(parser: ArgumentParser, word: str) -> None:
    with pytest.raises(UserError, match=f"^{word[:11]}: no such flag. Did you mean --num_images"):
        parsed(parser, with_underscores([word, "--out=x"]))
