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
        batch_size: Images at a time. Films are computed in eights whatever it says, so that it
            changes no bit of them.
        labels: Pix2Pix: a cache with label maps; None takes the training slices of the generator's
            data. Those of its validation and test patients are left out. LesionInfilling: a cache
            whose lesions lend their shapes; None takes those of the training slices.
        with_class: Pix2Pix: only label maps that hold this class, for example "tumour", so that
            the set makes up for its rarity. None takes every label map with any foreground.
        dropout: Pix2Pix and LesionInfilling: keep the generator's dropout active, where it is the
            only noise. None: true.
        truncation: GAN: 0 to 1; below 1 draws images towards the average one: more usual, less
            varied. Only StyleGAN and StyleGAN2 can. None: 1.
        format: Of the files. png: 8 bits. npy: loads faster. dicom: CT in Hounsfield units of
            slices, a chest radiograph (DX for presentation) of films, and a secondary capture where
            neither is right: of colour, and of slices whose Hounsfield units are not known.
            secondary_capture: DICOM that claims neither CT nor chest film. nifti: slices, in
            Hounsfield units. Label maps are NIfTI beside DICOM and NIfTI, else PNG. None: png, or
            npy where slices have several channels.
        label: GAN: the class of all images. None: that of --data.only_label, if the GAN was
            trained with it, else no label.
        interpolation: GAN: also write an animation from image to image, .gif, .png or .webp; or
            .mp4 where ffmpeg is installed.
        balance: GAN: the cache that the generators were trained on. As many films of each class
            are made as its real training split lacks to its largest class, counted after the
            --data.imbalance of the generators' training. Every class that lacks films needs a
            generator; one of the largest class makes none, and is left out of the set.
        lesions: LesionInfilling: "put" a lesion into a part of the organ that has none, of the
            shape of another patient's; or "remove" all lesions of a slice. Either is done to slices
            of the generator's training split, which stay as they are elsewhere. None: put.
        into: LesionInfilling: "healthy" slices alone, which hold no lesion; or "any" with a healthy
            part of the organ. None: healthy.
        source: CycleGAN: what is translated, a cache (its training split) or a synthetic set.
            Labels go along, and the class changes where the training named two. None: what the
            training had as its source; backward, its target.
        direction: CycleGAN: "forward" from the training's source to its target, or "backward".
            None: forward.
        licence: Of the data that the generator has learnt from, where its checkpoint does not state
            one: as for prepare.py --licence. One that states it is believed.
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
