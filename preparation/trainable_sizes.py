"""Which networks take images of a size: said before a cache of that size is made.

The numbers are those that the networks check; a test holds both against each other.
"""


def is_doubled(size: int) -> bool:
    """Whether GANs that double their maps up to the image reach this size: 32, 64, 128 and so on.

    Args:
        size: Height = width in pixels.
    """
    return size >= 32 and size & (size - 1) == 0


def film_size_note(size: int) -> list[str]:
    """A sentence where film GANs, or classifiers, do not train on films of this size.

    Args:
        size: Height = width in pixels.
    """
    if is_doubled(size):
        return []
    films = f"films of {size}x{size} pixels"
    if size & (size - 1) == 0:
        return [f"No classifier and no DCGAN trains on {films}: they take 32 pixels or more."]
    note = f"No film GAN trains on {films}: --image-size 32, 64, 128 and so on suit them. "
    averaged = size & -size  # the largest power of two that divides it
    if averaged >= 32:
        note += f"With --data.resolution {averaged} they train on means of these pixels. "
    return [note + f"Classifiers take any size from 32 up{', so not this one' * (size < 32)}."]


def slice_size_note(size: int) -> list[str]:
    """A sentence where Pix2Pix does not train on slices of this size.

    Args:
        size: Height = width in pixels.
    """
    if is_doubled(size):
        return []
    return [
        f"Pix2Pix does not train on slices of {size}x{size} pixels: --image-size 32, 64, 128 and "
        "so on suit it. A U-Net of the default depth takes multiples of 16, an FPN multiples of "
        "32."
    ]
