"""What an exported model says of itself: how to feed it, how to read it, what it is not for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporting.graphs import names_of
from exporting.ports import Graph
from exporting.preprocessing import preprocessing
from foreign_text import printable
from licences import obligations
from lightning_modules import FindingsClassifier
from lightning_modules.loading import file_known_by, licences_behind, seen_by
from provenance import library_versions, sha256_of

NOT_FOR = (
    "diagnosis or any clinical decision",
    "evidence about a person or a disease",
)

_PREDICTIONS = "images of other devices, populations or preparations: how often it is right there "
_PREDICTIONS += "was not measured"
_SYNTHETIC = "use as a picture of a patient: its images are synthetic, and are to be marked so"

_PAINTED = "evidence of what the image that went in shows: what is painted was never measured, and "
_PAINTED += "lesions may be added or lost; images made with it are to be marked so"
_OF_IMAGES = ("images from images", "a region of images")


def description(
    graph: Graph, module: Any, record: Mapping[str, Any], checkpoint: Path, seed: int
) -> dict[str, Any]:
    """Plain values, for the file itself and the JSON beside it; no patient, no path.

    Args:
        graph: What is exported.
        module: From which.
        record: What the checkpoint says.
        checkpoint: Its file.
        seed: Of the images of a generator that the file was checked on.
    """
    predicts, paints = graph.task in ("segmentation", "classification"), graph.task in _OF_IMAGES
    licences = licences_behind(record)
    told: dict[str, Any] = {
        "format": "understudy-onnx",
        "format_version": 1,
        "task": graph.task,
        "not_for": [*NOT_FOR, _PREDICTIONS if predicts else _PAINTED if paints else _SYNTHETIC],
        "inputs": [one.plain() for one in graph.inputs],
        "outputs": [one.plain() for one in graph.outputs],
        "class_names": [
            printable(name) for name in names_of(module) or record.get("class_names") or ()
        ],
        "image_size": record.get("image_size"),
        "preprocessing": preprocessing(record, checkpoint) if predicts or paints else None,
        "postprocessing": _postprocessing(graph, module, record),
        "thresholds": record.get("thresholds"),
        "generation": None if predicts else _generation(graph, record, seed),
        "training": {
            "module": type(module).__name__,
            "images_seen": record["images_seen"],
            "patients": len(seen_by(record).patients),
            "split_id": record["split"]["split_id"],
            "licences": [one.in_words for one in licences],
        },
        "obligations": obligations(licences),
        "checkpoint_sha256": sha256_of(file_known_by(checkpoint)),
        "versions": library_versions(),
    }
    return {key: value for key, value in told.items() if value is not None}


def _postprocessing(graph: Graph, module: Any, record: Mapping[str, Any]) -> list[str]:
    if graph.task == "segmentation":
        return ["the label of a pixel is the class with the largest logit (argmax over axis 1)"]
    if graph.task == "classification":
        if isinstance(module, FindingsClassifier):
            return ["probabilities[:, k] is that of finding k, whatever those of the others are"]
        steps = ["probabilities[:, k] is that of class k"]
        rules = (record.get("thresholds") or {}).get("rules")
        if rules:
            steps.append(
                "of two classes: the second from one of `thresholds` upwards, which were chosen on "
                "the validation split"
            )
        return steps
    [made] = graph.outputs
    what = "synthetic"
    if graph.task in _OF_IMAGES:
        what = "a patient's image, translated" if graph.task == _OF_IMAGES[0] else "painted in part"
    return [f"grey = round(127.5 * ({made.name} + 1)), 8 bits; say in the file that it is {what}"]


def _generation(graph: Graph, record: Mapping[str, Any], seed: int) -> dict[str, Any]:
    from_noise = graph.task == "images from noise"
    seeds = "the graph draws nothing: the same inputs give the same image, whatever else is in the "
    seeds += "batch"
    if from_noise:
        seeds += (
            ". example.npz holds inputs and images; image i of generate.py --seed S takes the row "
            "of the seed int(sha256('S/generate/i')[:8 bytes]) >> 1 of torch's CPU generator"
        )
    told = {
        "random_inputs": [n.name for n in graph.inputs if n.name in ("latent", "z", "noise")],
        "seeds": seeds,
        "example_seed": seed if from_noise else None,
        "weights": (
            "the running average, which makes all images in evaluation and in generate.py"
            if from_noise
            else "those of the checkpoint"
        ),
        **_domains(graph, record["data"].get("init_args") or {}),
    }
    return {key: value for key, value in told.items() if value is not None}


def _domains(graph: Graph, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the images are of, in the training's words."""
    if graph.task != _OF_IMAGES[0]:
        return {"class": data.get("only_label")}
    made = graph.made or "target"
    shown = "source" if made == "target" else "target"
    return {
        "from": data.get(f"{shown}_label") or f"the training's {shown}",
        "to": data.get(f"{made}_label") or f"the training's {made}",
    }
