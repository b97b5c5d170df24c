"""What `placebo.py` prints and writes: tables of its cells, and figures that miss their bars."""

from typing import Any

from benchmarks.placebo_drawn import EFFECTS, LEVEL

BARS = {"shown": 0.06, "covered": 0.93, "covered_ten": 0.91, "power": 0.10}

PAGE = """# Simulated placebos: every figure

`python benchmarks/placebo.py`, {:,} studies a line, twice as many below 100 patients. "All known":
a z test that is told every variance. "Two arms": the same pair without the others. See
[README.md](README.md).
"""


def missed(row: dict[str, Any]) -> list[str]:
    """Figures of a cell that miss their bars, as a reader sees them."""
    cell = row["cell"]
    covered = BARS["covered_ten" if cell["patients"] == 10 else "covered"]
    found = []
    for name, of in (("", ""), ("two_arms_", " of two arms")):
        if row[f"{name}shown"][0] > BARS["shown"]:
            found.append(f"{row[f'{name}shown'][0]:.3f} shown{of}, at most {BARS['shown']}")
        for kind, what in (("covered", "differences"), ("covered_single", "single arms")):
            if row[f"{name}{kind}"] < covered:
                found.append(f"{row[f'{name}{kind}']:.3f} of {what}{of} covered, {covered} asked")
    if cell["score"] == "mean":
        for effect, power, best in zip(EFFECTS, row["shown"][1:], reference(row), strict=True):
            if power < best - BARS["power"]:
                found.append(f"power at {effect:g} points {power:.2f}, {best:.2f} with all known")
    return found


def reference(row: dict[str, Any]) -> list[float]:
    """Power that ours is held against: of a test that knows all variances.

    With ten patients even a test that knows how large every variance is beside every other, but
    takes their common size from the patients, shows up to 0.1 less: it stands in there.
    """
    from scipy.stats import nct, t

    if row["cell"]["patients"] > 10:
        return list(row["oracle"])
    freedom, limit = 9, t.ppf(1 - LEVEL / 2, 9)
    ratios = [effect / row["error"] for effect in EFFECTS]
    return [float(nct.sf(limit, freedom, r) + nct.cdf(-limit, freedom, r)) for r in ratios]


def table(rows: list[dict[str, Any]], score: str) -> list[str]:
    """Lines of a Markdown table, a line a cell."""
    auroc = score == "auroc"
    kind = "positive" if auroc else "arm sd | humps"
    lines = [
        f"| patients | {kind} | seeds | training sd | shown, nothing differs | placebo shown "
        "| covered, difference | covered, single arm | power 3 (all known) | power 5 (all known) "
        "| two arms: shown | covered | power 3; 5 |",
        "|" + "---|" * (12 if auroc else 13),
    ]
    for row in rows:
        cell = row["cell"]
        if cell["score"] != score:
            continue
        own = f"{cell['positives']}" if auroc else f"{cell['arm_sd']:g} | {cell['humps']}"
        power = [f"{p:.2f} ({b:.2f})" for p, b in zip(row["shown"][1:], row["oracle"], strict=True)]
        two = "; ".join(f"{p:.2f}" for p in row["two_arms_shown"][1:])
        lines.append(
            f"| {cell['patients']} | {own} | {cell['seeds']} | {cell['training_sd']:g} "
            f"| {row['shown'][0]:.3f} | {row['placebo_shown']:.3f} | {row['covered']:.3f} "
            f"| {row['covered_single']:.3f} "
            f"| {power[0]} | {power[1]} | {row['two_arms_shown'][0]:.3f} "
            f"| {row['two_arms_covered']:.3f} | {two} |"
        )
    return lines


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """The worst figure of each kind, and every one that misses its bar."""
    lines = []
    for score in ("mean", "auroc"):
        own = [row for row in rows if row["cell"]["score"] == score]
        ten = [row for row in own if row["cell"]["patients"] == 10]
        more = [row for row in own if row["cell"]["patients"] > 10]
        for name, of in (("", ""), ("two_arms_", ", two arms")):
            worst = max(own, key=lambda row: row[f"{name}shown"][0])
            lines.append(f"{score}{of}: at most {worst[f'{name}shown'][0]:.3f} shown falsely")
            for few, some in (("10 patients", ten), ("more patients", more)):
                if some:
                    least = [min(r[f"{name}{kind}"] for r in some) for kind in
                             ("covered", "covered_single")]  # fmt: skip
                    lines[-1] += f"; {few}: at least {least[0]:.3f} of differences and "
                    lines[-1] += f"{least[1]:.3f} of single arms covered"
        worst = max(own, key=lambda row: row["placebo_shown"])
        lines.append(f"{score}, the placebo: at most {worst['placebo_shown']:.3f} shown falsely")
    wrong = [f"MISSED: {row['cell']}: {text}" for row in rows for text in missed(row)]
    return lines + (wrong or ["Every figure meets its bar."])
