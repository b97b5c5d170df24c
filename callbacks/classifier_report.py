"""What a classifier gets right and wrong, as pictures after a validation."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray

from callbacks.epoch_reports import image_name, report_due
from display.colours import ImageArray, colour_of
from display.png import save_png
from display.sheet import sheet
from display.tensor_images import image_arrays
from lightning_modules import Classifier
from lightning_modules.predictions import Predictions
from metrics.ranking import auroc, roc_curve
from provenance import UserError

_LONGEST_NAME = 16  # letters of a class's name on an axis


class ClassifierReport(L.Callback):
    """Draws ROC curve and confusion matrix, and the worst mistakes with their films.

    They go into `samples` of the run folder as `scores_epoch_0001_images_00006016.png` and
    `mistakes_epoch_...png`, and to Weights & Biases, the mistakes as a table. All are of the
    validation split. Films are named by the prepared data's pseudonyms.

    Args:
        num_mistakes: Most films shown; those whose true class got the least probability.
        every_epochs: Epochs between reports; the last epoch always has one.

    Raises:
        UserError: A number below 1.
    """

    def __init__(self, num_mistakes: int = 12, every_epochs: int = 1) -> None:
        for name, value in (("num_mistakes", num_mistakes), ("every_epochs", every_epochs)):
            if value < 1:
                raise UserError(f"ClassifierReport: {name} is {value}; it must be 1 or more.")
        self.num_mistakes = num_mistakes
        self.every_epochs = every_epochs

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Refuse a module that has no classes of whole images."""
        if not isinstance(module, Classifier):
            raise UserError(
                f"ClassifierReport: reports on a Classifier, and this run trains a "
                f"{type(module).__name__}. Leave it out of trainer.callbacks."
            )

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Draw on rank 0, which has gathered the predictions of all processes."""
        assert isinstance(module, Classifier)
        due = report_due(trainer, self.every_epochs)
        found = module.validation
        if trainer.sanity_checking or not trainer.is_global_zero or not due or found is None:
            return
        folder = Path(trainer.default_root_dir) / "samples"
        name = image_name(trainer, module)
        plots = draw_scores(found, module.class_names)
        save_png(folder / f"scores_{name}", plots)
        indices = worst_mistakes(found, self.num_mistakes)
        rows, films = [], []
        for index, film, sample in _films(trainer, indices):
            truth, called = int(found.labels[index]), int(found.predicted[index])
            rows.append(
                [
                    sample["id"],
                    module.class_names[truth],
                    module.class_names[called],
                    float(found.probabilities[index, truth]),
                ]
            )
            films.append(film)
        if films:
            save_png(folder / f"mistakes_{name}", draw_mistakes(rows, films))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                import wandb

                step = module.images_seen
                logger.log_image("val/scores", [plots], step=step)
                table = wandb.Table(
                    columns=["film", "id", "truth", "prediction", "probability of truth"],
                    data=[[wandb.Image(f), *row] for f, row in zip(films, rows, strict=True)],
                )
                logger.log_metrics({"val/worst_mistakes": table}, step=step)  # type: ignore[dict-item]


def worst_mistakes(predictions: Predictions, most: int) -> NDArray[np.int64]:
    """Indices of wrongly classified images, least probability of their true class first.

    Args:
        predictions: Of a split.
        most: How many indices at most.
    """
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    of_truth = predictions.probabilities[wrong, predictions.labels[wrong]]
    return wrong[np.argsort(of_truth, kind="stable")][:most].astype(np.int64)


def confusion_matrix(predictions: Predictions) -> NDArray[np.int64]:
    """(K, K) numbers of images: row is the true class, column the predicted one."""
    num_classes = predictions.probabilities.shape[1]
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (predictions.labels, predictions.predicted), 1)
    return counts


def draw_scores(predictions: Predictions, class_names: tuple[str, ...]) -> ImageArray:
    """ROC curve and confusion matrix side by side.

    With two classes the curve is of class 1; with more there is one for each class against the
    others. A class without images, or without others, has none.

    Returns:
        (H, W, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_roc(left, predictions, class_names)
    _draw_confusion(right, confusion_matrix(predictions), class_names)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def draw_mistakes(rows: list[list[Any]], films: list[ImageArray]) -> ImageArray:
    """Films with truth and prediction above each, six in a row.

    Args:
        rows: [id, true class, predicted class, probability of the true class] of each film.
        films: (H, W) or (H, W, 3) uint8.
    """
    titles = [
        f"..{name[-8:]}\nis {truth},\ncalled {called}\np({truth}) {probability:.1%}"
        for name, truth, called, probability in rows
    ]
    parts = [
        sheet([films[start : start + 6]], column_titles=titles[start : start + 6], cell_size=150)
        for start in range(0, len(films), 6)
    ]
    width = max(part.shape[1] for part in parts)
    padded = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part in parts
    ]
    return np.concatenate(padded)


def _films(trainer: L.Trainer, indices: NDArray[np.int64]) -> list[tuple[int, ImageArray, Any]]:
    """Index, picture and sample of validation films, as the network saw them."""
    if not len(indices):
        return []
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    dataset = datamodule.evaluation_set("val")
    samples = [dataset[int(index)] for index in indices]
    films = image_arrays(datamodule.to_unit(datamodule.collate(samples))["image"])
    return list(zip(indices.tolist(), films, samples, strict=True))


def _draw_roc(axes: Any, predictions: Predictions, class_names: tuple[str, ...]) -> None:
    drawn = [1] if len(class_names) == 2 else list(range(len(class_names)))
    for each in drawn:
        scores, truth = predictions.probabilities[:, each], predictions.labels == each
        area = auroc(scores, truth)
        if area is None:
            continue
        false_positive, true_positive, _ = roc_curve(scores, truth)
        colour = [level / 255 for level in colour_of(6 if len(drawn) == 1 else each + 1)]
        axes.plot(
            false_positive,
            true_positive,
            color=colour,
            linewidth=2,
            label=f"{class_names[each]}: AUROC {area:.3f}",
        )
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--", label="guessing")
    axes.set(
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
        xlabel="1 - specificity",
        ylabel="sensitivity",
        title=f"ROC, {len(predictions.labels)} validation images",
    )
    axes.legend(loc="lower right", frameon=False)


def _draw_confusion(axes: Any, counts: NDArray[np.int64], class_names: tuple[str, ...]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{counts[row, column]}\n{shares[row, column]:.1%}",
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.55 else "black",
        )
    names = [name if len(name) <= _LONGEST_NAME else name[:13] + "..." for name in class_names]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title="Confusion, share of each true class")
