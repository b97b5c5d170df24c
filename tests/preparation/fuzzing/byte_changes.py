"""Ways to damage any file. A mutation is a function of the file, the seed and the number alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Change = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Base:
    """A sound file: its name, bytes and, of an image, its shape."""

    name: str
    data: bytes
    shape: tuple[int, ...] = ()


def mutate(data: bytes, changes: Sequence[Change], seed: int, number: int) -> tuple[bytes, str]:
    """Return a damaged copy and the names of what was done to it, one to three changes."""
    random = Random(f"{seed}:{number}")
    names = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not data:  # cut off at its beginning
            break
        change = random.choice(changes)
        data = change(random, data)
        names.append(change.__name__.removeprefix("_"))
    return data, " ".join(names)


def flip_bits(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8, 64))):
        changed[offset(random, data)] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes) -> bytes:
    start, size = offset(random, data), random.choice((1, 2, 4, 16, 256))
    block = random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))
    return data[:start] + block[: len(data) - start] + data[start + size :]


def cut_off(random: Random, data: bytes) -> bytes:
    return data[: random.choice((offset(random, data), len(data) - random.randrange(1, 40)))]


def insert(random: Random, data: bytes) -> bytes:
    start = offset(random, data)
    return data[:start] + random.randbytes(random.choice((1, 2, 7, 100))) + data[start:]


def remove(random: Random, data: bytes) -> bytes:
    start = offset(random, data)
    return data[:start] + data[start + random.choice((1, 2, 7, 100)) :]


def repeat(random: Random, data: bytes) -> bytes:
    start, size = offset(random, data), random.choice((8, 64, 512))
    return data[:start] + data[start : start + size] + data[start:]


def offset(random: Random, data: bytes) -> int:
    """Offset of a byte; every second one in the header, which is small beside the pixels."""
    first = 128 if data[128:132] == b"DICM" else 0  # a preamble is looked at by nobody
    end = min(len(data), 1600) if random.random() < 0.5 else len(data)
    return random.randrange(min(first, end - 1), end) if end > 1 else 0


BYTE_CHANGES: tuple[Change, ...] = (flip_bits, overwrite, cut_off, insert, remove, repeat)
