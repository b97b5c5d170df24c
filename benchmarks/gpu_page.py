"""The page of benchmarks/gpu_day.py: tables of what was measured, and what was not, and why."""

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]
_BASE = "fp32"


def page(result: Row) -> str:
    """Markdown, of the JSON that a day writes."""
    rows: list[Row] = result["rows"]
    parts = [
        _head(result),
        _tests([row for row in rows if row["part"] == "tests"]),
        _speed([row for row in rows if row["part"] in ("speed", "compile", "count")]),
        _shares([row for row in rows if row["part"] == "shares"]),
        _audit([row for row in rows if row["part"] == "audit"]),
        _training(result),
        _not_run(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown; the columns that hold numbers in the first row are set to the right."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not lines:
        return ""
    right = [text.lstrip("+-")[:1].isdigit() for text in lines[0]]
    rule = ["---:" if is_right else "---" for is_right in right]
    return "\n".join("| " + " | ".join(row) + " |" for row in [titles, rule, *lines])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value).replace("|", "/")


def _head(result: Row) -> str:
    card = result["gpu"]
    title = f"# {card}" if card else "# No GPU: a trial of the script at tiny sizes"
    facts = [
        ("card", card or f"no GPU; {result['machine']}"),
        ("memory", f"{result['memory_mb'] / 1024:.0f} GiB" if card else None),
        ("driver", result.get("driver")),
        ("CUDA, cuDNN", f"{result['cuda']}, {result['cudnn']}" if card else None),
        ("torch", result["torch"]),
        ("Python", result["python"]),
        ("processor cores", result["cores"]),
    ]
    made = f"`{result['command']}`"
    text = [title, f"Made by {made}.", table(("", ""), [fact for fact in facts if fact[1]])]
    if not card:
        text.append(
            "**No GPU was found, so nothing here says anything about one.** Every part ran at tiny "
            "sizes on the processor to show that it runs; the numbers mean nothing, and the tests "
            "that need a GPU were skipped."
        )
    return "\n\n".join(text)


def _tests(rows: list[Row]) -> str:
    if not rows:
        return ""
    counts = {
        kind: sum(row["outcome"] == kind for row in rows)
        for kind in ("passed", "failed", "error", "skipped")
    }
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    bad = [row for row in rows if row["outcome"] in ("failed", "error")]
    slow = sorted((row for row in rows if row.get("seconds")), key=lambda row: -row["seconds"])
    return _text(
        "## Tests that need a GPU",
        f"{told}.",
        table(("failed", "why"), [(r["test"], r.get("reason", "see log.txt")) for r in bad]),
        table(("slowest", "s"), [(r["test"], r["seconds"]) for r in slow[:5]]),
    )


# ---- speed ---------------------------------------------------------------------------------------


def _speed(rows: list[Row]) -> str:
    done = [row for row in rows if row.get("state") in ("measured", "not possible")]
    ceilings = [row for row in done if "ceiling" in row]
    products = {
        row["ceiling"].removeprefix("matrix product, "): row["tflops"]
        for row in ceilings
        if "tflops" in row
    }
    counts = {(r["method"], r["size"]): r for r in done if "gflop_per_image" in r}
    timed = [row for row in done if "variant" in row]
    if not done:
        return ""
    text = ["## What the card can do at best"]
    text.append(table(("", "measured"), [(row["ceiling"], _of_ceiling(row)) for row in ceilings]))
    for size in sorted({row["size"] for row in timed}):
        of_size = [row for row in timed if row["size"] == size]
        text.append(f"## A training step at {size} px, batch {of_size[0]['batch']}")
        text.append(_table_of_steps(of_size, products, counts))
    if timed:
        text += [_legend(), _noise(timed)]
    first = [row for row in done if "first compilation" in row]
    if first:
        text.append("First compilation, nothing kept from before, beside the tests:")
        shown = [(r["method"], r["size"], r.get("compile_s", r.get("reason"))) for r in first]
        text.append(table(("method", "px", "s"), shown))
    return _text(*text)


def _of_ceiling(row: Row) -> str:
    if "tflops" in row:
        return f"{row['tflops']:.3g} TFLOP/s, side {row['side']}"
    if "gbytes_per_second" in row:
        return f"{row['gbytes_per_second']:,.0f} GB/s, bytes read and written"
    return f"not possible: {row['reason']}"


def _table_of_steps(
    rows: list[Row], products: dict[str, float], counts: dict[tuple[str, int], Row]
) -> str:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    shown = []
    for method in methods:
        of_method = [row for row in rows if row["method"] == method]
        base = next((r.get("ms_per_step") for r in of_method if r["variant"] == _BASE), None)
        for row in of_method:
            named = [method, row["variant"]]
            if "ms_per_step" not in row:
                shown.append([*named, f"not possible: {row['reason']}", *[None] * 7])
                continue
            precision = row["variant"].partition("+")[0]
            product, count = products.get(precision), counts.get((method, row["size"]), {})
            half = "mixed" if precision in ("bf16", "fp16") else "float32"
            each = count.get("gflop_per_image")
            tflops = None if each is None else each * row["images_per_second"] / 1000
            shown.append(
                [
                    *named,
                    row["images_per_second"],
                    f"{base / row['ms_per_step']:.2f}" if base else None,
                    row["ms_per_step"],
                    f"{row['spread_percent']:.1f} %",
                    tflops,
                    f"{100 * tflops / product:.0f} %" if product and tflops else None,
                    row["peak_memory_mb"],
                    count.get(f"expected_mb_{half}"),
                ]
            )
    titles = ("method", "variant", "images/s", "to fp32", "ms", "two timings differ by")
    return table((*titles, "TFLOP/s", "of the product", "peak MiB", "expected MiB"), shown)


def _legend() -> str:
    return (
        "fp32: neither products nor convolutions may round their inputs; tf32: both may; bf16 and "
        "fp16: autocast with weights in float32, fp16 with a gradient scaler; what stays in "
        "float32 there follows torch's default, by which convolutions may round (so does a run "
        "in `32-true`). Compiled: the networks through torch.compile; penalties call them as they "
        "are, since what is compiled has no second derivative. Operations are those of matrix "
        "products and convolutions, counted in a step without values, lazy penalties in "
        "proportion; the expected memory is that of the same step. Images lie on the GPU; no "
        "loading, no trainer."
    )


def _noise(rows: list[Row]) -> str:
    """Whether two timings of a row differ by less than two rows do."""
    timed = [row for row in rows if "ms_per_step" in row]
    if not timed:
        return ""
    spreads = sorted(row["spread_percent"] for row in timed)
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in timed:
        groups.setdefault((row["method"], row["size"]), []).append(row)
    pairs = [pair for group in groups.values() for pair in itertools.combinations(group, 2)]
    told = [pair for pair in pairs if _apart(*pair)]
    text = (
        f"Two timings of a row differ by {statistics.median(spreads):.1f} % in the median and "
        f"{spreads[-1]:.1f} % at most."
    )
    if pairs:
        text += (
            f" Of {len(pairs)} pairs of variants of a method at a size, {len(told)} are further "
            "apart than both rows' two timings together."
        )
    return text


def _apart(one: Row, other: Row) -> bool:
    a, b = one["ms_per_step"], other["ms_per_step"]
    return abs(a - b) > (a * one["spread_percent"] + b * other["spread_percent"]) / 100


# ---- the other parts -----------------------------------------------------------------------------


def _shares(rows: list[Row]) -> str:
    done = [row for row in rows if row.get("state") in ("measured", "not possible")]
    if not done:
        return ""
    loading = table(
        ("augmentation", "where", "workers", "ms a step", "of it waiting", "moving, augmenting",
         "share of loading", "images/s"),
        [
            (r["loading"], r["where"], r["workers"], *_found(
                r, "ms_per_step", "ms_waiting", "ms_moving_and_augmenting",
                ("share_of_loading", _percent), "images_per_second",
            ))
            for r in done if "loading" in r
        ],
    )  # fmt: skip
    distances = table(
        ("extractor", "films", "features s, first time", "then", "distances s, first time", "then"),
        [
            (r["distance"], *_found(
                r, "films", "features_s_cold", "features_s_warm", "distances_s_cold",
                "distances_s_warm",
            ))
            for r in done if "distance" in r
        ],
    )  # fmt: skip
    return _text("## Loading and distances", loading, distances)


def _audit(rows: list[Row]) -> str:
    done = [row for row in rows if row.get("state") in ("measured", "not possible")]
    if not done:
        return ""
    audit = table(
        ("audit", "images looked at", "training images", "s", "ms for an image",
         "million pairs/s", "placing the training images, s"),
        [
            (r["audit"], f"{r['queries']:,}", f"{r['references']:,}", *_found(
                r, "seconds", "ms_per_query", "million_pairs_per_second", "placing_s",
            ))
            for r in done if "audit" in r
        ],
    )  # fmt: skip
    presets = [row for row in done if "augmentation" in row]
    names = list(dict.fromkeys(row["augmentation"] for row in presets))
    by = {
        (row["augmentation"], row["device"]): row.get("images_per_second", row.get("reason"))
        for row in presets
    }
    devices = list(dict.fromkeys(row["device"] for row in presets))
    heads = [f"{'GPU' if device == 'cuda' else 'one core'}, images/s" for device in devices]
    augmentations = table(
        ("preset", *heads), [(name, *(by.get((name, d)) for d in devices)) for name in names]
    )
    return _text("## An audit, and augmentations", audit, augmentations)


def _found(row: Row, *names: Any) -> list[Any]:
    """Values by name, or with a function of them; the reason in the first where there are none."""
    if row["state"] != "measured":
        return [f"not possible: {row['reason']}", *[None] * (len(names) - 1)]
    values = []
    for name in names:
        show: Callable[[Any], Any] = lambda value: value  # noqa: E731
        if isinstance(name, tuple):
            name, show = name
        values.append(show(row[name]) if name in row else None)
    return values


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _training(result: Row) -> str:
    curve: list[Row] = result["curve"]
    if not curve:
        return ""
    names = [name for name in dict.fromkeys(itertools.chain(*curve)) if name.startswith("val/")]
    names = names[:6]
    some = sorted({round(place * (len(curve) - 1) / 11) for place in range(12)})
    shown = [
        (f"{curve[at]['images_seen']:,}", *(curve[at].get(name) for name in names)) for at in some
    ]
    return _text(
        "## The multi-scale GAN on real films",
        table(("images seen", *(name.removeprefix("val/") for name in names)), shown),
        "Sheets of samples: sheet_first.png, sheet_middle.png, sheet_last.png.",
    )


def _not_run(result: Row) -> str:
    """Parts, rows and tests that nothing was measured of, each with its reason."""
    lines = []
    for name in result["not_asked_for"]:
        lines.append(f"- {name}: not asked for (`--parts`).")
    for name, part in result["parts"].items():
        if part["how"] != "whole":
            lines.append(f"- {name}: {part['how']} ({part['seconds']:.0f} s).")
    for planned in (row for row in result["rows"] if row.get("state") == "planned"):
        if planned["part"] in ("compile", "count"):
            continue
        of_part = [row for row in result["rows"] if row["part"] == planned["part"]]
        ended = {row["key"] for row in of_part if row.get("state") in ("measured", "not possible")}
        begun = {row["key"] for row in of_part if row.get("state") == "begun"} - ended
        if begun:
            lines.append(f"- {planned['part']}: {len(begun)} rows were ended while they ran.")
        left = len(planned["rows"]) - len(ended) - len(begun)
        if left:
            lines.append(
                f"- {planned['part']}: {left} of {len(planned['rows'])} rows were not reached."
            )
    skipped = sum(row.get("outcome") == "skipped" for row in result["rows"])
    if skipped:
        lines.append(f"- tests: {skipped} skipped.")
    times = [
        (name, f"{part['seconds']:.0f}", f"{part['limit']:.0f}", part["how"])
        for name, part in result["parts"].items()
    ]
    return _text(
        "## What was not run",
        "\n".join(lines) or "Everything was run.",
        table(("part", "s", "of at most", "how it ended"), times),
    )


def _text(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
