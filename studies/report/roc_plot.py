"""ROC curves of a study's classifiers in one picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from display import figures
from display.numbers import score
from studies.specification.specification import Specification

# From this mean AUROC on the curves hug their corner, which gets a panel of its own.
_CROWDED = 0.9


@figures.styled
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
    figure, axes = figures.new_figure(
        rows,
        len(ends),
        figsize=(4.5 * len(ends), 0.8 + 4.2 * rows),
        squeeze=False,
    )
    for row, model in enumerate(specification.models):
        for panel, end in zip(axes[row], ends, strict=True):
            for place, scenario in enumerate(specification.scenarios):
                label: str | None = f"{scenario.name}{_auroc(content, scenario.id, model.name)}"
                for record in records:
                    if (record["scenario"], record["model"]) != (scenario.id, model.name):
                        continue
                    roc = record["evaluation"]["roc"]
                    panel.plot(
                        roc["false_positive_rate"],
                        roc["true_positive_rate"],
                        color=figures.COLOURS[place % len(figures.COLOURS)],
                        ls=figures.DASHES[place % len(figures.DASHES)],
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
        figures.shared_legend(figure, axes[0][0])
    return figures.png(figure)


def _auroc(content: Mapping[str, Any], scenario: str, model: str) -> str:
    """The group's AUROC as the study's own table or its further ones have it."""
    further = [entry["groups"] for entry in content["further"] if entry["metric"] == "auroc"]
    own = [content["groups"]] if content["specification"]["metric"]["name"] == "auroc" else []
    for groups in own + further:
        for group in groups:
            if (group["scenario"], group["model"]) == (scenario, model) and group["value"]:
                return f", AUROC {score(group['value'], False)}"
    return ""
