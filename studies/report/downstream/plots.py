"""Plots of a study as PNG bytes. Colours of Okabe & Ito 2008, with shapes and dashes beside them.

Nothing is told by colour alone: the plots are printed in grey and read by colour-blind people.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from display.figures import COLOURS, DASHES, new_figure, png, shared_legend, styled
from display.numbers import score
from studies.report.downstream.intervals import ends_shown
from studies.specification.parts import Scenario
from studies.specification.specification import Specification

# One more than colours, so that the eighth scenario has the first one's colour and not its mark.
_MARKS = ("o", "s", "D", "^", "v", "P", "X", "<")
# From this mean AUROC on ROC curves hug their corner, which gets a panel of its own.
_CROWDED = 0.9
# Of differences, by the role of the comparison: mark, width and dashes of the interval, meaning.
_MARK_OF = {"primary": "o", "exploratory": "s", "placebo": "D"}
_LINES: dict[str, tuple[float, Any]] = {
    "primary": (2.8, "-"), "exploratory": (1.4, "-"), "placebo": (1.8, (0, (2, 1.5)))
}  # fmt: skip
_MEANING = {
    "primary": "primary: it decides, after Holm's correction",
    "exploratory": "exploratory: no verdict",
    "placebo": "placebo: the difference that nothing made",
}
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++", "oo", "--")


@styled
def bars(specification: Specification, content: Mapping[str, Any]) -> bytes | None:
    """Mean with interval per model and scenario, each seed as a dot, the paper as a diamond.

    Percentages are bars from 0 to 100, other scores marks on an axis that fits them.
    """
    groups = {(group["model"], group["scenario"]): group for group in content["groups"]}
    if all(group["value"] is None for group in groups.values()):
        return None
    factor = 100 if specification.metric.percent else 1
    width = min(0.8 / len(specification.scenarios), 0.25)
    figure, axes = new_figure(figsize=(9, 4.2))
    for index, scenario in enumerate(specification.scenarios):
        label: str | None = _title(scenario)
        for column, model in enumerate(specification.models):
            group = groups[model.name, scenario.id]
            x = column + (index - (len(specification.scenarios) - 1) / 2) * width
            if group["paper"] is not None:
                axes.plot(x, group["paper"], "D", color="white", mec="#222222", ms=6, zorder=4)
            if group["value"] is None:
                axes.annotate("no cell", (x, 0), rotation=90, ha="center", va="bottom", fontsize=8)
                continue
            value = factor * group["value"]
            colour = COLOURS[index % len(COLOURS)]
            if specification.metric.percent:
                hatch = _HATCHES[index % len(_HATCHES)]
                axes.bar(x, value, width * 0.9, color=colour, hatch=hatch, label=label)
            else:  # a bar starts at 0, where differences of AUROCs cannot be seen
                mark = _MARKS[index % len(_MARKS)]
                axes.plot(x, value, mark, color=colour, ms=10, label=label)
            label = None
            if (ends := ends_shown(group)) is not None:
                low, high = (factor * end for end in ends)
                error = [[value - low], [high - value]]
                axes.errorbar(x, value, error, color="#222222", capsize=4, lw=1.4, zorder=3)
            means = [mean for mean in group["seed_means"].values() if mean is not None]
            axes.plot(
                [x + 0.22 * width] * len(means),
                [factor * mean for mean in means],
                "o",
                color="white",
                mec="#222222",
                ms=3.5,
                zorder=4,
            )
    trivial = content["trivial"].get(specification.metric.name)
    if trivial is not None:
        axes.axhline(
            factor * trivial, color="#222222", ls=(0, (2, 2)), lw=1.2, label="all background"
        )
    axes.plot([], [], "o", color="white", mec="#222222", ms=3.5, label="one seed")
    if specification.paper:
        axes.plot([], [], "D", color="white", mec="#222222", ms=6, label="paper")
    axes.set_xticks(range(len(specification.models)), [m.title for m in specification.models])
    axes.set_ylabel(_label(specification))
    axes.grid(axis="x", visible=False)
    if specification.metric.percent:
        axes.set_ylim(0, 100)
    axes.set_xlim(-0.55, len(specification.models) - 0.45)
    shared_legend(figure, axes, first=[_title(scenario) for scenario in specification.scenarios])
    return png(figure)


@styled
def differences(specification: Specification, content: Mapping[str, Any]) -> bytes | None:
    """Difference with interval for every tested pair, each patient as a small dot.

    What decides, what is explored and the placebo have marks and lines of their own.
    """
    shown = [c for c in content["comparisons"] if c["value"] is not None]
    if not shown:
        return None
    factor = 100 if specification.metric.percent else 1
    figure, axes = new_figure(figsize=(8, 0.9 + 0.36 * len(shown)))
    axes.axvline(0, color="#222222", lw=1)
    models = [model.name for model in specification.models]
    for row, comparison in enumerate(shown):
        colour = COLOURS[models.index(comparison["model"]) % len(COLOURS)]
        patients = [factor * value for value in comparison["patients"].values()]
        axes.plot(patients, [row] * len(patients), "|", color=colour, ms=9, alpha=0.55)
        if (shown_ends := ends_shown(comparison)) is not None:
            ends = [factor * end for end in shown_ends]
            width, dashes = _LINES[comparison["role"]]
            axes.plot(ends, [row, row], color=colour, lw=width, ls=dashes, solid_capstyle="butt")
        mark, filled = (
            _MARK_OF[comparison["role"]],
            colour if comparison["significant"] else "white",
        )
        axes.plot(factor * comparison["value"], row, mark, color=filled, mec=colour, ms=7, mew=1.8)
    roles = [comparison["role"] for comparison in shown]
    for row in range(1, len(roles)):
        if roles[row] != roles[row - 1]:
            axes.axhline(row - 0.5, color="#999999", lw=0.8)
    for role in dict.fromkeys(roles):
        width, dashes = _LINES[role]
        look = {"color": "#222222", "mfc": "white", "lw": width, "ls": dashes}
        axes.plot([], [], marker=_MARK_OF[role], ms=7, mew=1.8, label=_MEANING[role], **look)
    axes.set_yticks(
        range(len(shown)),
        [
            f"{c['scenario']} against {c['against']}, {specification.model(c['model']).title}"
            for c in shown
        ],
    )
    axes.set_ylim(len(shown) - 0.4, -0.6)
    worse, better = (
        ("worse", "better") if specification.metric.higher_is_better else ("better", "worse")
    )
    unit = " in points" if specification.metric.percent else ""
    axes.set_xlabel(f"{worse}  \u2190  difference{unit}  \u2192  {better}")
    axes.grid(axis="y", visible=False)
    shared_legend(figure, axes)
    return png(figure)


@styled
def curves(
    specification: Specification, records: Sequence[Mapping[str, Any]]
) -> tuple[bytes | None, list[str]]:
    """Losses and validation score of every scenario, a row per model; and what is lacking.

    Thin lines are seeds; the scenario is told by colour and dashes.
    """
    validation = f"val/{specification.metric.name}"
    names = sorted({name for record in records for name in record.get("curves", {})})
    losses = [name for name in names if name.startswith("train/") and "loss" in name]
    lacking = [] if validation in names else [f"No run logged {validation}."]
    if not losses:
        lacking.append("No run logged a training loss.")
    # Side by side they show over-fitting.
    columns = losses[:1] + [name for name in ("val/loss", validation) if name in names]
    if not columns:
        return None, lacking
    rows = len(specification.models)
    figure, axes = new_figure(
        rows,
        len(columns),
        figsize=(3 * max(3, len(columns)), 0.6 + (2.1 if rows > 1 else 3.0) * rows),
        squeeze=False,
        sharex="row",
        sharey="col",
    )
    for row, model in enumerate(specification.models):
        for column, name in enumerate(columns):
            panel = axes[row][column]
            for index, scenario in enumerate(specification.scenarios):
                label: str | None = _title(scenario)
                for record in records:
                    points = record.get("curves", {}).get(name)
                    same = (record["scenario"], record["model"]) == (scenario.id, model.name)
                    if not same or not points:
                        continue
                    panel.plot(
                        *zip(*points, strict=True),
                        color=COLOURS[index % len(COLOURS)],
                        ls=DASHES[index % len(DASHES)],
                        lw=1.3,
                        marker="o" if len(points) == 1 else None,
                        label=label,
                    )
                    label = None
            panel.set_title(f"{model.title}: {name}", fontsize=10, loc="left")
            if row == rows - 1:
                panel.set_xlabel("images seen")
    shared_legend(figure, *axes.flat)
    return png(figure), lacking


@styled
def roc_curves(
    specification: Specification, content: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> bytes | None:
    """ROC curve of every scenario, a row per model, as PNG bytes; None without classifiers.

    Thin lines are seeds; the scenario is told by colour and dashes, its AUROC by the legend.
    """
    records = [record for record in records if record["evaluation"].get("roc")]
    if not records:
        return None
    aurocs = [record["evaluation"]["summary"]["auroc"]["value"] for record in records]
    ends = [1.0, 0.25] if sum(aurocs) / len(aurocs) > _CROWDED else [1.0]
    rows = len(specification.models)
    figure, axes = new_figure(
        rows,
        len(ends),
        figsize=(4.5 * len(ends), 0.8 + 4.2 * rows),
        squeeze=False,
    )
    for row, model in enumerate(specification.models):
        for panel, end in zip(axes[row], ends, strict=True):
            for index, scenario in enumerate(specification.scenarios):
                label: str | None = f"{scenario.name}{_auroc(content, scenario.id, model.name)}"
                for record in records:
                    if (record["scenario"], record["model"]) != (scenario.id, model.name):
                        continue
                    roc = record["evaluation"]["roc"]
                    panel.plot(
                        roc["false_positive_rate"],
                        roc["true_positive_rate"],
                        color=COLOURS[index % len(COLOURS)],
                        ls=DASHES[index % len(DASHES)],
                        lw=1.1,
                        label=label,
                    )
                    label = None
            panel.plot([0, 1], [0, 1], color="#999999", lw=0.8)
            panel.set_xlim(0, end)
            panel.set_ylim(1 - end, 1.005)
            panel.set_title(
                model.title + ("" if end == 1 else ", the corner enlarged"), fontsize=10, loc="left"
            )
            panel.set_xlabel("1 - specificity")
            panel.set_ylabel("sensitivity")
            panel.set_aspect("equal")
        if rows > 1:  # each row has AUROCs of its own
            axes[row][0].legend(loc="lower right", fontsize=8, frameon=False)
    if rows == 1:
        shared_legend(figure, axes[0][0])
    return png(figure)


@styled
def generator_curves(records: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Losses of the generators' training, one panel per loss and one line per seed."""
    names = sorted({name for record in records for name in record.get("curves", {})})
    losses = [name for name in names if name.startswith("train/") and "loss" in name][:3]
    if not losses:
        return None
    figure, axes = new_figure(1, len(losses), figsize=(9, 2.6), squeeze=False)
    for panel, name in zip(axes[0], losses, strict=True):
        for index, record in enumerate(records):
            points = record.get("curves", {}).get(name)
            if points:
                panel.plot(
                    *zip(*points, strict=True),
                    color=COLOURS[index % len(COLOURS)],
                    ls=DASHES[index % len(DASHES)],
                    lw=1.2,
                    marker="o" if len(points) == 1 else None,
                    label=f"seed {record['settings']['seed']}",
                )
        panel.set_title(name, fontsize=10, loc="left")
        panel.set_xlabel("images seen")
    shared_legend(figure, *axes.flat)
    return png(figure)


def _title(scenario: Scenario) -> str:
    return f"{scenario.id}  {scenario.name}"


def _label(specification: Specification) -> str:
    return specification.metric.title + (", %" if specification.metric.percent else "")


def _auroc(content: Mapping[str, Any], scenario: str, model: str) -> str:
    """The group's AUROC as the study's own table or its further ones have it."""
    further = [entry["groups"] for entry in content["further"] if entry["metric"] == "auroc"]
    own = [content["groups"]] if content["specification"]["metric"]["name"] == "auroc" else []
    for groups in own + further:
        for group in groups:
            if (group["scenario"], group["model"]) == (scenario, model) and group["value"]:
                return f", AUROC {score(group['value'], False)}"
    return ""
