"""A CycleGAN as a study's generator: what it translates, with which labels, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import fake_verbs
import pytest

from datamodules.open_cache import open_cache
from datamodules.synthetic import SyntheticSet
from provenance import UserError, read_json
from studies.run.downstream import ready
from studies.run.folder import Study
from studies.run.outcome import StudyOutcome
from studies.run.planning.stand_in import write_stand_in
from studies.run.runner import run_study
from studies.run.translations import translated
from studies.specification.parts import GeneratorPlan
from studies.specification.read import parse_specification
from studies.specification.specification import Specification
from tests.conftest import write_film_cache

pytestmark = pytest.mark.usefixtures("unrendered")

SLICES, FILMS = "configs/kits19/cyclegan.yaml", "configs/chest_xray/cyclegan.yaml"
TO_ABNORMAL = ("--data.source_label", "normal", "--data.target_label", "abnormal")


@pytest.fixture
def source(home: Path) -> Path:
    """A cache of other slices, with 32 of them."""
    return fake_verbs.write_cache(home / "source", hashes="other")


@pytest.fixture
def from_source(plan: dict, source: Path) -> dict:
    """Plain values of a study whose generator translates the slices of `source`."""
    plan["generator"] = {"config": SLICES, "num_images": 8, "source": str(source)}
    plan["models"] = plan["models"][:1]
    return plan


def parsed(plan: dict) -> Specification:
    specification = parse_specification(plan, "study.yaml")
    assert parse_specification(specification.as_dict(), "study.json") == specification
    return specification


def go(plan: dict, home: Path) -> StudyOutcome:
    return run_study(
        parsed(plan), home / "data", home / "out", fake_verbs.load_verbs, workers=0, say=print
    )


def films_of(home: Path, **settings: Any) -> Path:
    """Four training patients with three films each, normal and abnormal in turn."""
    return write_film_cache(home / "films", **settings)


def test_the_source_reaches_training_and_translation(from_source: dict, home: Path) -> None:
    assert not go(from_source, home).failed
    record = read_json(home / "out" / "generators" / "generator__seed0.json")
    source = home / "source"
    assert f"--data.source {source} " in record["commands"][0]
    assert f"generate seed_0 None source {source}" in fake_verbs.events()
    # what its images depend on is the content of the source, not where it lies
    kept = record["settings"]["generator"]
    assert kept["source"]["content_sha256"] == open_cache(source).content_sha256
    assert str(source) not in json.dumps(kept)


def test_another_source_is_another_study(from_source: dict, home: Path) -> None:
    go(from_source, home)
    (home / "source").rename(home / "moved")
    from_source["generator"]["source"] = str(home / "moved")
    assert go(from_source, home).done == []
    other = fake_verbs.write_cache(home / "other", hashes="third")
    from_source["generator"]["source"] = str(other)
    with pytest.raises(UserError, match=r"not fit this study:\n.*source.*content_sha256"):
        go(from_source, home)


def test_classes_of_the_own_films_need_no_source(plan: dict, home: Path) -> None:
    """The configuration names another source, which the study replaces."""
    plan["generator"] = {"config": FILMS, "num_images": 4, "arguments": [*TO_ABNORMAL]}
    plan["models"] = [{"name": "vgg", "title": "VGG", "config": "configs/vgg.yaml"}]
    plan["metric"] = {"name": "auroc", "title": "AUROC"}
    films = films_of(home)
    outcome = run_study(
        parsed(plan), films, home / "out", fake_verbs.load_verbs, workers=0, say=print
    )
    assert not outcome.failed
    record = read_json(home / "out" / "generators" / "generator__seed0.json")
    assert "--data.source null --data.source_label normal" in record["commands"][0]
    assert "source" not in record["settings"]["generator"]


def test_translations_have_the_labels_of_their_originals(home: Path, source: Path) -> None:
    slices = GeneratorPlan(SLICES, 8, source=str(source))
    own, cache = open_cache(home / "data"), open_cache(source)
    assert len(translated(slices, own)) == len(cache.items) == 32
    stand_in = SyntheticSet.open(write_stand_in(home / "stand_in", own, slices))
    shown = {tuple(item.class_pixels) for item in cache.items}
    assert len(stand_in.items) == 8
    assert {item.class_pixels for item in stand_in.items} <= shown
    assert stand_in.has_label_maps


def test_a_change_of_class_gives_the_class_that_it_makes(home: Path) -> None:
    films = open_cache(films_of(home))
    made = translated(GeneratorPlan(FILMS, 4, TO_ABNORMAL), films)
    assert len(made) == 6  # half of twelve training films
    assert {one.label for one in made} == {"abnormal"}
    stand_in = SyntheticSet.open(
        write_stand_in(home / "stand_in", films, GeneratorPlan(FILMS, 4, TO_ABNORMAL))
    )
    assert [item.label for item in stand_in.items] == ["abnormal"] * 4


def test_classes_of_another_source_get_the_names_of_the_target(home: Path) -> None:
    """A class that the target lacks is not translated."""
    films = films_of(home, labels=("normal", "pneumonia"))
    other = write_film_cache(home / "other", labels=("healthy", "ill", "unclear", ""))
    names = ("--data.source_classes", "[healthy, ill]")
    made = translated(GeneratorPlan(FILMS, 4, names, source=str(other)), open_cache(films))
    labels = [one.label for one in made]
    assert (labels.count("normal"), labels.count("pneumonia"), labels.count(None)) == (3, 3, 3)
    whole = GeneratorPlan(
        FILMS, 4, (*names, "--data.class_shares", "as_they_are"), source=str(other)
    )
    assert [one.label for one in translated(whole, open_cache(films))].count("unclear") == 3


def test_a_synthetic_set_is_refined(from_source: dict, home: Path) -> None:
    go(from_source, home)
    made = home / "out" / "synthetic" / "seed_0"
    plan = GeneratorPlan(SLICES, 8, source=str(made))
    assert len(translated(plan, open_cache(home / "data"))) == 8


def test_more_translations_than_images_are_refused_first(from_source: dict, home: Path) -> None:
    from_source["generator"]["num_images"] = 33
    with pytest.raises(UserError, match=r"generator.num_images: 33: .*source has 32 images"):
        go(from_source, home)
    films = films_of(home)
    from_source["generator"] = {"config": FILMS, "num_images": 7, "arguments": [*TO_ABNORMAL]}
    study = Study(parsed(from_source), films, home / "elsewhere")
    with pytest.raises(UserError, match="has 6 images of the class normal to translate"):
        ready(study)
    assert not fake_verbs.events()


def test_the_studys_own_data_are_not_translated_into_themselves(
    from_source: dict, home: Path
) -> None:
    """From class to class they may be."""
    from_source["generator"]["source"] = str(home / "data")
    with pytest.raises(UserError, match=r"generator.source: \S+data: holds the study's own data"):
        go(from_source, home)
    assert not fake_verbs.events()
    films = films_of(home)
    for arguments in ((), TO_ABNORMAL):
        from_source["generator"] = {
            "config": FILMS, "num_images": 4, "arguments": [*arguments], "source": str(films),
        }  # fmt: skip
        study = Study(parsed(from_source), films, home / "elsewhere")
        if arguments:
            ready(study)
        else:
            with pytest.raises(UserError, match="which would be translated into themselves"):
                ready(study)


def test_a_misspelt_class_is_named_with_those_there_are(from_source: dict, home: Path) -> None:
    flags = ["--data.source_label", "normall", "--data.target_label", "abnormal"]
    from_source["generator"] = {"config": FILMS, "num_images": 7, "arguments": flags}
    study = Study(parsed(from_source), films_of(home), home / "elsewhere")
    told = (
        r"generator.arguments: --data.source_label normall: .* Did you mean normal\? There is nor"
    )
    with pytest.raises(UserError, match=told):
        ready(study)


def test_a_source_that_is_gone_is_needed_by_trainings_alone(from_source: dict, home: Path) -> None:
    go(from_source, home)
    shutil.rmtree(home / "source")
    assert go(from_source, home).done == []
    for record in (home / "out/generators").glob("*.json"):
        record.unlink()
    with pytest.raises(UserError, match=r"generator.source: \S+source: there is no such folder"):
        go(from_source, home)


def test_label_maps_are_refused_where_nothing_paints_them(from_source: dict, home: Path) -> None:
    study = Study(parsed(from_source), home / "data", home / "out", labels=home / "source")
    with pytest.raises(UserError, match=r"--labels .*: are for a generator that paints label maps"):
        ready(study)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": "data/masks"}, "generator.labels: a CycleGAN translates images with their la"),
        ({"with_class": "tumour"}, "generator.with_class: a CycleGAN"),
        ({"into": "any"}, "generator.into: a CycleGAN"),
        ({"per_class": "all"}, "generator.per_class: a CycleGAN"),
        ({"arguments": ["--data.source=x"]}, "--data.source: write `source:` beside `config`"),
        ({"source": ""}, "nothing says what it translates. Add `source: CACHE_OR_SET`"),
        ({"config": "configs/kits19/lesions.yaml"}, "source: is for a CycleGAN, which translates"),
    ],
)
def test_what_a_translator_has_no_use_for(from_source: dict, change: dict, sentence: str) -> None:
    from_source["generator"] |= change
    with pytest.raises(UserError, match=f"study.yaml: .*{sentence}"):
        parsed(from_source)


def test_a_share_of_the_patients_is_refused(from_source: dict) -> None:
    for scenario in from_source["scenarios"]:
        scenario["sizes"] = [0.5, 1]
    from_source["baseline_scenario"] = "1_100"
    with pytest.raises(UserError, match=r"scenario 3_50: sizes: its generator is a CycleGAN"):
        parsed(from_source)


def test_translations_have_a_control_of_their_own(from_source: dict) -> None:
    """Their source has other labels than the real training images."""
    from_source["arguments"] = ["--data.images_per_epoch", 64]
    from_source["scenarios"][1]["controls"] = True
    assert parsed(from_source).scenario("3").controls == ("3_steps", "3_real")
