"""The job of one volume, whose headers are read and compared."""

from collections.abc import Sequence

from preparation.volumes.labels.values import MaskValues
from preparation.volumes.nifti.file import NamedFile, NiftiFile
from preparation.volumes.nifti.grid import mask_on_image
from preparation.volumes.volume import Job


def nifti_job(
    shard: str,
    patient: str,
    identifier: str,
    files: Sequence[NamedFile],
    values: MaskValues,
    channels_in_file: int = 1,
    item_key: str | None = None,
) -> Job:
    """The job of one volume.

    Args:
        shard: Its name, see `Found.new_shard`.
        patient: Whose it is.
        identifier: What the source calls the patient.
        files: The label map, then the image, a file for each of its channels.
        values: What the values of the label map mean.
        channels_in_file: Of the image's only file, along its fourth axis.
        item_key: What the source calls the volume; None: as the patient.

    Raises:
        SkipVolume: A header cannot be read, or they do not cover the same voxels.
    """
    mask = NiftiFile.open(*files[0])
    images: list[NiftiFile] = []
    shown = mask.grid
    for path, name in files[1:]:
        image = NiftiFile.open(path, name, channels_in_file)
        if not images:
            _, shown, _ = mask_on_image(mask.grid, image.grid, mask.name, name)
        else:
            mask_on_image(image.grid, images[0].grid, name, images[0].name)
        images.append(image)
    num_slices, height, width = shown.shape
    return Job(
        shard=shard,
        patient_id=patient,
        identifiers=(identifier,),
        split_key=identifier,
        item_key=item_key or identifier,
        files=tuple(path for path, _ in files),
        names=tuple(name for _, name in files),
        slice_shape=(height, width),
        num_slices=num_slices,
        class_names=values.class_names,
        options={**values.options(), "channels_in_file": channels_in_file},
    )
