"""From which probability on a film is called positive: chosen on validation films, never silent."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metrics.thresholds import RULES
from provenance import UserError, read_json

USUAL_RULE = "youden"
_RULES = tuple(rule for rule in RULES if rule != "default")


@dataclass(frozen=True)
class Threshold:
    """A film with at least this probability of the second class is predicted as that class.

    Attributes:
        value: In [0, 1], or just above the highest score.
        rule: How it was chosen, or "by hand".
        chosen_on: The split, or None.
        num_images: Of that split, None where it is not known.
        rates: Sensitivity and specificity in that split and the films behind each; None where they
            are not known. On other films they may be lower.
    """

    value: float
    rule: str
    chosen_on: str | None = None
    num_images: int | None = None
    rates: Mapping[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "meaning": RULES.get(self.rule)}

    @property
    def in_words(self) -> str:
        """For the terminal."""
        if self.chosen_on is None:
            return f"{self.value:g}, given by hand"
        many = "" if self.num_images is None else f" of {self.num_images:,} images"
        words = f"{self.value:.4g} ({RULES[self.rule]}), chosen on the validation split{many}"
        return words + _rates_in_words(self.rates)


def _rates_in_words(rates: Mapping[str, Any] | None) -> str:
    """How well the films are told apart on which it was chosen, so that a poor model shows."""
    if rates is None:
        return ""
    sensitivity, specificity = rates["sensitivity"], rates["specificity"]
    chance = sensitivity + specificity < 1.2
    return (
        f": sensitivity {sensitivity:.2f} of {rates['positives']:,}, specificity "
        f"{specificity:.2f} of {rates['negatives']:,} there"
        + (", hardly better than drawing lots" if chance else "")
    )


def thresholds_of(
    checkpoint: Path,
    checkpoint_sha256: str,
    record: Mapping[str, Any],
    asked: str | None,
    evaluation: Path | None,
    findings: Sequence[str] = (),
) -> list[Threshold | None]:
    """The thresholds that were asked for; without a word, Youden's of the validation split.

    Args:
        checkpoint: Of a classifier of two classes, or of several findings.
        checkpoint_sha256: Of its file.
        record: What it says of itself.
        asked: A number, the name of a rule, or None.
        evaluation: Folder of a finished evaluation of it, whose thresholds to use.
        findings: Names of the findings; empty for two classes.

    Returns:
        One for the second of two classes; or one for each finding, None for one in which the films
        of the validation split do not differ.

    Raises:
        UserError: No such rule, or nobody has chosen a threshold; 0.5 is never taken silently.
    """
    number = _number(asked)
    if number is not None:
        if evaluation is not None:
            raise UserError("--evaluation: is for its thresholds, and --threshold gives a number.")
        return [Threshold(number, "by hand")] * max(1, len(findings))
    rule = asked or USUAL_RULE
    if rule not in _RULES:
        raise UserError(
            f"--threshold {asked}: expected a number from 0 to 1, or a rule by which one was "
            f"chosen on the validation split: {', '.join(_RULES)}."
        )
    rates: list[dict[str, Any] | None] = []
    if evaluation is not None:
        tables = _of_evaluation(evaluation, checkpoint, checkpoint_sha256, findings)
        images = None
    else:
        told = record.get("thresholds", {})
        of_findings = told.get("findings")
        of_findings = of_findings if isinstance(of_findings, dict) else {}
        tables = [of_findings.get(n) for n in findings] if findings else [told.get("rules")]
        images = told.get("num_images")
        rates = [_rates(told, n, rule) for n in findings] if findings else [_rates(told, "", rule)]
    values = [table.get(rule) if isinstance(table, dict) else None for table in tables]
    known = [
        Threshold(float(value), rule, "val", images if isinstance(images, int) else None, there)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else None
        for value, there in zip(values, rates or [None] * len(values), strict=True)
    ]
    if not any(known):
        if evaluation is not None:
            raise UserError(
                f"--evaluation {evaluation}: chose no threshold by {rule}, since its validation "
                "split holds no films of both classes. Give one: --threshold 0.37."
            )
        raise UserError(
            f"{checkpoint}: tells no threshold: it was saved between two validations, its "
            "validation split lacks a class, or an earlier version wrote it. None is taken "
            "silently. Choose one on the validation split: python evaluate.py --checkpoint "
            f"{checkpoint} --out DIR, then add --evaluation DIR; or give one: --threshold 0.37."
        )
    return known


def _rates(told: Mapping[str, Any], finding: str, rule: str) -> dict[str, Any] | None:
    """Of a checkpoint's record, which anyone may have written: numbers, or nothing."""
    of_rules: Any = told.get("rates")
    if finding and isinstance(of_rules, dict):
        of_rules = of_rules.get(finding)
    rates = of_rules.get(rule) if isinstance(of_rules, dict) else None
    wanted = ("sensitivity", "specificity", "positives", "negatives")
    if not isinstance(rates, dict) or not all(
        isinstance(rates.get(name), int | float) for name in wanted
    ):
        return None
    return {name: rates[name] for name in wanted}


def _number(asked: str | None) -> float | None:
    try:
        value = float(asked or "")
    except ValueError:
        return None
    if not 0 <= value <= 1:
        raise UserError(f"--threshold {asked}: expected a probability from 0 to 1.")
    return value


def _of_evaluation(
    folder: Path, checkpoint: Path, checkpoint_sha256: str, findings: Sequence[str]
) -> list[dict[str, Any] | None]:
    """Threshold by rule, of the second class or of each finding; as evaluate.py has chosen them."""
    result: Any = read_json(Path(folder) / "evaluation.json")
    task = "findings" if findings else "classification"
    if not isinstance(result, dict) or result.get("task") != task:
        raise UserError(f"--evaluation {folder}: holds no evaluation of such a classifier.")
    if result.get("checkpoint_sha256") != checkpoint_sha256:
        raise UserError(
            f"--evaluation {folder}: is of another checkpoint than {checkpoint}. Its thresholds "
            "are of other weights; evaluate this one."
        )
    if result.get("thresholds_chosen_on") != "val":
        return [None]
    told: Any = result["thresholds"]
    rows = [told.get(name, []) for name in findings] if findings else [told]
    return [{row["rule"]: row["threshold"] for row in of_one} for of_one in rows]
