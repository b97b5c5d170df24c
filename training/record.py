"""What the checkpoints of a run say of its settings, its data and whom it learns from."""

from typing import Any

from jsonargparse import Namespace

from callbacks.record import patient_split_of, plain_values
from private_paths import without_paths
from provenance import library_versions


def record_of_run(config: Namespace, datamodule: Any) -> dict[str, Any]:
    """The record as plain values.

    Args:
        config: Every setting, those that come from the data too.
        datamodule: Of the run's data.
    """
    cache = datamodule.cache
    return {
        # A checkpoint is given to others; where its data lie stands in config.yaml alone.
        "model": without_paths(plain_values(config.model)),
        "data": without_paths(plain_values(config.data)),
        "image_size": datamodule.image_size,
        "class_names": datamodule.class_names,
        **_chosen(datamodule),
        "dataset": cache.dataset,
        "preparation": cache.preparation,
        "image_form": cache.image_form,
        "licences": datamodule.licences(),
        "split": patient_split_of(cache),
        "patient_names": cache.patient_names.plain(),
        "pixels": cache.packed_pixels(),
        "content_sha256": cache.content_sha256,
        "synthetic_sha256": datamodule.synthetic_sha256,
        "augmentation": datamodule.policy.plain(),
        "also_seen": datamodule.also_seen().plain(),
        "versions": library_versions(),
        "seed": config.seed_everything,
    }


def _chosen(datamodule: Any) -> dict[str, list[str]]:
    """What a training leaves out, where the settings of its data alone do not tell.

    Of a translator's films the classes that it shows; of so many films whose they are, which
    depends on how many each patient has.
    """
    chosen = {}
    if (shown := getattr(datamodule, "shown_classes", None)) is not None:
        chosen["shown_classes"] = shown
    if getattr(datamodule, "num_images", None) is not None:
        chosen["chosen_patients"] = sorted(datamodule.chosen_patients)
    return chosen
