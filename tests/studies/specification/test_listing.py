"""`study.py list` says of every study what it asks, how much it trains, and what it needs."""

from pathlib import Path

import pytest
import yaml

import study
from provenance import UserError
from studies.specification.listing import STUDIES, size_of
from studies.specification.read import load_specification, parse_specification


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert study.main(["list", *words]) == 0
    return capsys.readouterr().out.split("\n\n")


def test_every_study_of_ours_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    entries = [entry.splitlines() for entry in listed(capsys)][:-1]  # an empty last line
    paths = sorted(STUDIES.glob("*.yaml"))
    assert [Path(entry[0].split(": ")[0]).resolve() for entry in entries] == paths
    for path, (head, question, size, needs) in zip(paths, entries, strict=True):
        specification = load_specification(path)
        assert head.endswith(f": {specification.title}")
        assert question == f"  {specification.question}"
        assert size.startswith(f"  Size: {len(specification.cells())} trainings (")
        assert needs.startswith("  Needs: a cache of ")
    by_name = {path.stem: entry for path, entry in zip(paths, entries, strict=True)}
    assert by_name["quickstart"][2:] == [
        "  Size: 12 trainings (4 scenarios x 3 models x 1 seed); 1 generator; 10 epochs of 320 "
        "images each",
        "  Needs: a cache of CT slices with label maps",
    ]
    assert by_name["class_balance"][3] == "  Needs: a cache of films with labels"
    assert by_name["architectures"][3].endswith("ImageNet weights (downloaded, or a file)")
    assert by_name["film_gans"][3].endswith("the weights of inception (--weights)")
    assert by_name["films_normal_to_abnormal_cpu"][3] == "  Needs: a cache of films with labels"
    assert (
        "; 5 generators CycleGAN, normal to abnormal; 5 gen"
        in (by_name["films_normal_to_abnormal_cpu"][2])
    )
    assert by_name["kits19_phantom_to_ct_64px"][3] == (
        "  Needs: a cache of CT slices with label maps; the images of data/phantom64; external "
        "test sets (--external ircadb=CACHE)"
    )
    assert by_name["kits19_scenarios"][3].endswith("the file weights/tf_efficientnet_lite0.pth")


def test_a_study_that_cannot_be_read_does_not_end_the_list(
    plan: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.yaml").write_text("name: [")
    plan["models"] = [{"name": "m", "config": "configs/kits19/unet_light.yaml"}]
    plan["generator"]["config"] = "configs/kits19/pix2pix.yaml"
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(plan))
    broken, whole, _ = listed(capsys, str(tmp_path))
    assert broken.startswith(f"{tmp_path / 'broken.yaml'}: is not valid YAML")
    assert whole.splitlines()[2].startswith("  Size: 2 trainings (2 scenarios x 1 model x 1 seed)")


def test_the_placebo_has_generators_of_its_own(plan: dict) -> None:
    plan["seeds"] = [0, 1]
    assert "; 2 generators" in size_of(parse_specification(plan, "a"))
    plan["baseline_scenario"], plan["placebo"] = 3, True
    assert "; 4 generators" in size_of(parse_specification(plan, "a"))


def test_what_is_not_there_is_answered_with_what_is_near() -> None:
    with pytest.raises(UserError, match=r"configs/studie: there is no such folder\. Did you mean"):
        study.main(["list", "configs/studie"])
    with pytest.raises(UserError, match=r"Did you mean configs/studies/quickstart\.yaml\?"):
        load_specification(Path("quikstart.yaml"))
