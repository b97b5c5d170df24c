"""What `prepare.py synthetic` says at the end: found, used, left out and why, and what is next."""

from collections import Counter

from display.numbers import count
from preparation.left_out import left_out_line
from preparation.private_table import private_folder
from preparation.synthetic.assemble import SyntheticOutcome
from preparation.verify import print_listed

_MOST_SIZES = 4


def print_synthetic_summary(outcome: SyntheticOutcome) -> None:
    """Print the account; its last line names the next command."""
    made = outcome.made
    for note in outcome.notes:
        print(f"note: {note}")
    resumed = f" ({outcome.num_resumed:,} finished before)" if outcome.num_resumed else ""
    print(
        f"{count(outcome.num_files, 'file')} found{resumed}, {count(len(made.items), 'image')} "
        f"used, {len(outcome.left_out):,} left out"
        + (
            f", {outcome.not_asked_for:,} slices whose label map marks nothing (--slices all)"
            if outcome.not_asked_for
            else ""
        )
        + "."
    )
    if outcome.left_out:
        print_listed(outcome.left_out, "left out")
        print(left_out_line(len(outcome.left_out), outcome.listed_in))
    for remark, sentence in _REMARKS.items():
        if number := outcome.remarks[remark]:
            print(f"note: {count(number, 'image')} {sentence}.")
    sizes = outcome.sizes.most_common()
    told = ", ".join(f"{number:,} of {h}x{w}" for (h, w), number in sizes[:_MOST_SIZES])
    more = f" and {len(sizes) - _MOST_SIZES} more sizes" if len(sizes) > _MOST_SIZES else ""
    print(f"Sizes: {told}{more}; all are {made.image_size}x{made.image_size} now.")
    labels = Counter(item.label for item in made.items if item.label)
    if labels:
        print(
            "Labels: " + ", ".join(f"{number:,} {name}" for name, number in sorted(labels.items()))
        )
    if made.trained_on_unknown:
        print(
            "warning: what the generator was trained on is unknown, so whether the set knows test "
            "patients cannot be told. Everything that uses it says so; --trained-on CACHE tells."
        )
    print(f"{private_folder(made.root)}: the source file of each image. Never give it to others.")
    print(
        f"Results: {made.root} (manifest.json, README.md, sheet.png). Next: python evaluate.py "
        f"audit --synthetic {made.root} --data.root {outcome.trained_on or 'CACHE'} "
        f"--out runs/audit_{made.root.name}"
    )


_REMARKS = {
    "own_range": "of more than 8 bits, shown from their own lowest value to their highest; where "
    "all share one scale, say it with --values, such as --values -1 1, into another --out",
    "grey_as_it_came": "grey values of 8 bits, taken as if the cache's window had made them",
    "synthetic": "marked as synthetic in the file itself",
    "was_colour": "in colour, made grey",
    "had_transparency": "with transparent pixels, laid on black",
    "looks_inverted": "that look inverted; look at sheet.png",
    "clipped": "with values outside of --values, which became black or white",
    "outliers_clipped": "with a few values far outside, which are clipped",
}
