"""Pages that cite verdicts which knew patients only say so, until their studies are repeated."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SENTENCE = "verdict withdrawn: it knew patients only"

# A verdict, a test's p, or an interval of a difference, as the reports of then print them.
CITED = re.compile(
    r"p [=<] 0?\.\d|\*\*(helps|hurts)\*\*|after Holm|not over trainings|Nearest to held-out films"
    r"|no difference (in AUROC )?(is|was) shown|\bcomparisons\b.*\bp\b",
    re.IGNORECASE,
)

# Below docs/results: pages of studies that counted other trainings from the start, or were repeated
# with that. A repeated study's page is named here, and loses the sentence. Audits
# are of one set each, and compare no methods.
COUNTS_TRAININGS = (
    "few_images/",
    "lesions/",
    "pix2pix_and_lesions/",
    "film_gans_tuned/",
    "generators_for_use/",
    "placebo/",
    "synthetic_films/",
    "translation/",
    "synthetic_slices/",
    "classifiers_nih/",
    "classifiers_kermany/",
    "augmentations/",
    "audit/",
    "external/",
)

# Of the README, test_the_readme_claims_nothing_that_is_withdrawn says more.
PAGES = [
    *sorted((ROOT / "docs/course").glob("*.md")),
    *sorted((ROOT / "docs/course").glob("*.ipynb")),
    *sorted((ROOT / "docs/results").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_with_a_verdict_of_patients_alone_say_so(page: Path) -> None:
    inside = page.relative_to(ROOT / "docs/results").as_posix() if "results" in page.parts else ""
    text = page.read_text(encoding="utf-8")
    if CITED.search(text) and not inside.startswith(COUNTS_TRAININGS):
        assert SENTENCE in " ".join(text.lower().replace("> ", "").split()), page


def test_every_kept_report_is_on_the_page_and_says_so(script: ModuleType) -> None:
    for report in script.REPORTS.values():
        text = (script.RESULTS / report).read_text(encoding="utf-8")
        assert SENTENCE in text.lower().split("\n## ")[0], report


def test_the_readme_claims_nothing_that_is_withdrawn() -> None:
    """Its first screen: no verdict in a table; both studies there have been repeated."""
    first = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert not re.search(r"\*\*(helps|hurts|no difference)|p [=<] 0", first, re.IGNORECASE)
    assert " ".join(first.lower().split()).count(SENTENCE) == 0


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "withdrawn_verdicts", ROOT / "benchmarks/withdrawn_verdicts.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_withdrawn_verdicts_is_what_the_kept_figures_give(script: ModuleType) -> None:
    page = (ROOT / "docs/results/withdrawn.md").read_text(encoding="utf-8")
    assert script.table() in page


def test_kept_figures_give_the_p_that_the_formula_gives(script: ModuleType) -> None:
    """Two arms of spreads a and b, patients of variance v: the parts of today's test are these."""
    page = (
        (
            "## Scores\n\n| Scenario | net |\n|---|---|\n| x  first | 0.90 seed sd 0.03 |\n"
            "| y  second | 0.80\\* seed sd 0.04 |\n\nPatients: 40; seeds: 3.\n\n## Tests\n\n"
            "| Pair | Difference | Each seed | Patients | p | p after Holm | Smallest | Reading |\n"
            "|---|---|---|---|---|---|---|---|\n"
            "| x against y, net | -0.100 [-0.1392 to -0.0608] | 0 | 40 | 0.1 | 0.2 | 0 | hurts |\n"
        )
        .replace(" -0", " \u22120")
        .replace("[-0", "[\u22120")
    )
    [kept] = script.differences(page)
    assert (kept.value, kept.num_patients, kept.told) == (-0.1, 40, "\u22120.100")
    assert (kept.old_p, kept.old_reading) == ("0.2", "hurts")
    assert script.spreads(page) == {("x", "net"): 0.03, ("y", "net"): 0.04}
    estimate = script.estimate(kept, page)
    assert float(estimate.value) == pytest.approx(-0.1)
    parts = estimate.parts
    assert float(parts.trainings) == pytest.approx((0.03**2 + 0.04**2) / 3)
    assert float(parts.patients) == pytest.approx((0.0392 / 1.959964) ** 2)
    assert float(parts.both) == pytest.approx(0, abs=1e-12)
