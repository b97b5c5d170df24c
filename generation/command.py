"""Make a synthetic set, by whichever way the checkpoints of its generators need.

The flags of generate.py are the function's arguments: no torch is imported before the call.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datamodules.synthetic import ImageFormat
from device import Device, chosen_device
from licences import Licence
from provenance import UserError

if TYPE_CHECKING:
    from generation.generators import TrainedGenerator

_NUM_IMAGES = 1333  # as many as Choe et al. 2022 made


def generate(
    checkpoint: list[Path] | Path,
    num_images: int | None = None,
    out: Path | None = None,
    seed: int = 0,
    batch_size: int = 16,
    labels: Path | None = None,
    with_class: str | None = None,
    dropout: bool | None = None,
    truncation: float | None = None,
    format: ImageFormat | None = None,
    label: str | None = None,
    interpolation: Path | None = None,
    balance: Path | None = None,
    lesions: Literal["put", "remove"] | None = None,
    into: Literal["healthy", "any"] | None = None,
    source: Path | None = None,
    direction: Literal["forward", "backward"] | None = None,
    licence: str | None = None,
    device: Device = "auto",
    show_progress: bool = True,
) -> Path:
    """Generate slices with a Pix2Pix, films from noise with a GAN, lesions, or translations.

    Image i of a generator depends only on its checkpoint, (seed, i) and its settings: the label map
    and the dropout, or the truncation. It depends neither on the batch size nor on other
    generators. After an interruption, give the same command again: it continues where it stopped.

    Args:
        checkpoint: A checkpoint of a Pix2Pix, LesionInfilling, CycleGAN, GAN or GrowingGAN. Several
            GANs, each trained on one class of the same cache (--data.only_label), make one set with
            these classes, class after class in the order of the cache.
        num_images: Number of images; with several generators, the number for each class.
            None: 1333, or with --balance the missing number; for a CycleGAN every image of the
            source.
        out: Folder of the set; one that holds another set is refused. None: synthetic/kits19 for
            slices, synthetic/films for films, synthetic/translated for what a CycleGAN makes.
        seed: Seed of the noise, and of the choice of label maps.
        batch_size: Images at a time; the images do not depend on it.
        labels: Pix2Pix: a cache with label maps, of which those of the generator's validation and
            test patients are left out. None: the training slices of the generator's data.
            LesionInfilling: a cache whose lesions give the shapes. None: those of the training
            slices.
        with_class: Pix2Pix only. Use only label maps with this class, for example "tumour", to make
            more images of a rare class. None: every label map with a foreground.
        dropout: Pix2Pix and LesionInfilling only. Keep the generator's dropout active if it is the
            only source of noise. None: true.
        truncation: StyleGAN and StyleGAN2 only. 0 to 1; values below 1 move images towards the
            average: more typical, less varied. None: 1.
        format: File format. png: 8 bits. npy: loads faster. dicom: slices as CT in Hounsfield
            units, films as chest radiographs (DX for presentation); colour images, and slices whose
            Hounsfield units are not known, as secondary capture. secondary_capture: DICOM for
            images that are neither CT nor chest films. nifti: slices in Hounsfield units. Label
            maps are NIfTI beside DICOM and NIfTI, else PNG. None: png, or npy for slices of several
            channels.
        label: GAN only. The class of all images. None: that of --data.only_label, if the GAN was
            trained with it, else no label.
        interpolation: GAN only. Also write an animation between latents: a .gif, .png or .webp
            file, or .mp4 if ffmpeg is installed.
        balance: GAN only. The cache on which the generators were trained. Every class is filled up
            to the size of the largest class of its real training split, counted after the
            --data.imbalance of the generators' training. Each class that is filled up needs a
            generator; for the largest class no images are made.
        lesions: LesionInfilling only. "put" a lesion with the shape of another patient's lesion
            into a healthy part of the organ, or "remove" all lesions of a slice. The slices are
            those of the generator's training split; the rest of each slice is unchanged. None: put.
        into: LesionInfilling only. Slices that get a lesion: "healthy" ones without a lesion, or
            "any" with a healthy part of the organ. None: healthy.
        source: CycleGAN only. The images to translate: a cache (its training split) or a synthetic
            set. Labels are kept; the class changes if the training had two classes as its domains.
            None: the source of the training; with --direction backward its target.
        direction: CycleGAN only. "forward" from the training's source to its target, or "backward".
            None: forward.
        licence: Licence of the data on which the generator was trained, if its checkpoint does not
            state one; values as for prepare.py --licence.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        show_progress: A progress bar with images per second and the time left.

    Returns:
        The folder of the finished set.

    Raises:
        UserError: A checkpoint that is no generator, a flag that its kind cannot use, no usable
            label map, other image sizes, or a folder that holds something else.
    """
    for flag, value in (("--num-images", num_images), ("--batch-size", batch_size)):
        if value is not None and value < 1:
            raise UserError(f"{flag} is {value}; it must be 1 or more.")
    if balance is not None and num_images is not None:
        raise UserError(
            f"--num-images {num_images}: --balance counts for itself how many films of each class "
            "are lacking. Leave one of the two out."
        )
    number = _NUM_IMAGES if num_images is None else num_images
    paths = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    if not paths:
        raise UserError("--checkpoint: the list is empty; give the file of a generator.")
    if len(paths) > 1 and label is not None:
        raise UserError(
            f"--label {label}: of several generators each gives its images the class that it was "
            "trained on. Leave it out."
        )
    from generation.films import generate_films
    from generation.generators import TrainedGenerator
    from generation.lesions import generate_lesions
    from generation.one_set import one_set
    from generation.slices import generate_slices
    from generation.synthetic_set import Generation
    from generation.translation import translate_images
    from lightning_modules import GAN, CycleGAN, LesionInfilling

    target = chosen_device(device)
    of_all = _given(format=format)
    of_slices = _given(labels=labels, dropout=dropout)
    of_pix2pix, of_lesions = _given(with_class=with_class), _given(lesions=lesions, into=into)
    of_films = _given(truncation=truncation, label=label, interpolation=interpolation)
    generators = [TrainedGenerator.open(Path(path), number, label, target) for path in paths]
    of_translations = _given(source=source, direction=direction)
    first, are_gans = generators[0], isinstance(generators[0].module, GAN)
    paints_lesions = isinstance(first.module, LesionInfilling)
    translates = isinstance(first.module, CycleGAN)
    if are_gans or translates:
        for_slices = {**of_slices, **of_pix2pix}
        _refuse(for_slices, "is for Pix2Pix, which paints label maps", first)
    if not are_gans:
        for_gans = {**of_films, **_given(balance=balance)}
        _refuse(for_gans, "is for GANs, which make films from noise", first)
    if paints_lesions:
        _refuse(of_pix2pix, "is for Pix2Pix, which paints label maps", first)
    else:
        _refuse(of_lesions, "is for LesionInfilling, which paints lesions", first)
    if not translates:
        _refuse(of_translations, "is for CycleGANs, which translate images", first)
    stated = None if licence is None else _stated(licence, generators)
    if len(generators) > 1 or balance is not None:
        generators = one_set(generators, balance)
    name = "translated" if translates else "films" if are_gans else "kits19"
    with ExitStack() as held:
        generation = Generation(
            generators=generators,
            out=Path("synthetic", name) if out is None else Path(out),
            seed=seed,
            batch_size=batch_size,
            show_progress=show_progress,
            held=held,
            balance=balance,
            licence=stated,
        )
        if are_gans:
            generate_films(generation, **of_films, **of_all)
        elif paints_lesions:
            generate_lesions(generation, **of_slices, **of_lesions, **of_all)
        elif translates:
            numbered = {**of_translations, "num_images": num_images}
            translate_images(generation, **numbered, **of_all)
        else:
            generate_slices(generation, **of_slices, **of_pix2pix, **of_all)
    return generation.out


def _stated(given: str, generators: "Sequence[TrainedGenerator]") -> Licence:
    """The licence that a person stated.

    Raises:
        UserError: The checkpoints state it already, and another one.
    """
    stated = Licence.of_text(given)
    told = [one for each in generators for one in each.licences()]
    if all(one.is_stated for one in told) and stated not in told:
        raise UserError(
            f"--licence {given}: the checkpoint states {'; '.join(one.in_words for one in told)}. "
            "Leave it out. To correct a wrong one: prepare.py licence states it for the cache, and "
            "generate.py card for a card."
        )
    return stated


def _given(**flags: Any) -> dict[str, Any]:
    """Those that were given; the others have their defaults where they are used."""
    return {name: value for name, value in flags.items() if value is not None}


def _refuse(flags: dict[str, Any], purpose: str, generator: "TrainedGenerator") -> None:
    """No flag is ignored without a word."""
    for name in flags:
        raise UserError(
            f"--{name.replace('_', '-')}: {purpose}, but {generator.checkpoint} holds a "
            f"{type(generator.module).__name__}. Leave it out."
        )
