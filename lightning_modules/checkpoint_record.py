"""What a checkpoint says of itself: plain values of known kinds, whoever wrote the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provenance import UserError

RECORD_KEY = "understudy"

_MOST_VALUES = 50_000_000  # a million films in a list of names, several times over
_DEEPEST = 12
_LONGEST_KEY = 1000
_PLAIN = {type(None), bool, int, float, str}

# Entries that are read by name. Earlier versions have fewer, later ones may have more.
_KINDS: dict[str, tuple[type, ...]] = {
    "model": (dict,),
    "data": (dict,),
    "image_size": (int, type(None)),
    "class_names": (list, tuple, type(None)),
    "shown_classes": (list, tuple),
    "chosen_patients": (list, tuple),
    "dataset": (str,),
    "preparation": (dict,),
    "image_form": (dict,),
    "thresholds": (dict,),
    "licences": (list, tuple),
    "earlier_licences": (list, tuple),
    "split": (dict,),
    "patient_names": (dict,),
    "pixels": (dict,),
    "content_sha256": (str, type(None)),
    "synthetic_sha256": (str, type(None)),
    "also_seen": (dict,),
    "versions": (dict,),
}


def check_record(record: Any, source: Path) -> None:
    """Refuse a record that train.py does not write, so that its readers need not doubt it.

    Args:
        record: What stands under `RECORD_KEY` in a checkpoint.
        source: The checkpoint, for the sentence.

    Raises:
        UserError: Something that is no plain value, nested too deep, too much of it (a list that
            holds another one a thousand times, which does so too, is small in a file), or an entry
            of the wrong kind; names the entry.
    """
    if not isinstance(record, dict):
        raise _strange(source, RECORD_KEY, "a table of settings", record)
    check_plain(record, RECORD_KEY, source)
    for name, kinds in _KINDS.items():
        if name in record and not isinstance(record[name], kinds):
            raise _strange(source, name, kinds[0].__name__, record[name])
    for name in ("split", "pixels"):
        for part, value in record.get(name, {}).items():
            place = f"{name}.{part}"
            if name == "pixels" or part in ("by", "split_id"):
                if not isinstance(value, str | bool):
                    raise _strange(source, place, "text", value)
            else:
                _check_texts(value, place, source)
    _check_texts(record.get("class_names") or (), "class_names", source)
    data = record.get("data", {"class_path": "", "init_args": {}})
    if not isinstance(data.get("class_path"), str) or not isinstance(data.get("init_args"), dict):
        raise _strange(source, "data", "class_path and init_args", data)


def check_tells(record: dict[str, Any], source: Path, *names: str) -> None:
    """Refuse (UserError) a record without these entries, or a split without its id."""
    missing = [name for name in names if record.get(name) is None]
    if "split" in names and "split" not in missing and "split_id" not in record["split"]:
        missing.append("split.split_id")
    if missing:
        raise UserError(
            f"{source}: its record of the training does not tell {', '.join(missing)}, as every "
            "one that train.py writes does. Use a checkpoint as it was written."
        )


def check_plain(content: Any, name: str, source: Path) -> None:
    """Refuse (UserError) what is no plain value: text, number, bool, None, lists and dicts of such.

    Without recursion, so that no depth of nesting ends it.
    """
    around: list[str] = []  # keys of what is open; the place is told of what is refused alone
    open_: list[Iterator[tuple[Any, Any]]] = [iter([(name, content)])]
    seen = 0
    while open_:
        key, value = next(open_[-1], (None, None))
        if key is None:
            open_.pop()
            around = around[:-1]
            continue
        if type(value) in _PLAIN:
            continue
        place = _place([*around, key])
        if isinstance(value, dict):
            for one in value:
                if not isinstance(one, str) or len(one) > _LONGEST_KEY:
                    expected = f"keys that are text of at most {_LONGEST_KEY:,} characters"
                    raise _strange(source, place, expected, one)
            inside = iter(value.items())
        elif isinstance(value, list | tuple):
            inside = enumerate(value)
        else:
            raise _strange(source, place, "plain values", value)
        seen += len(value)
        if len(around) >= _DEEPEST or seen > _MOST_VALUES:
            raise UserError(
                f"{source}: {place[:200]} is nested deeper or holds more than train.py writes. The "
                "checkpoint is not loaded."
            )
        open_.append(inside)
        around.append(key)


def _place(keys: list[Any]) -> str:
    """Such as `model.init_args.widths[3]`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)[1:]


def _check_texts(value: Any, place: str, source: Path) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise _strange(source, place, "a list of names", value)


def _strange(source: Path, place: str, expected: str, found: Any) -> UserError:
    return UserError(
        f"{source}: its record of the training is not one that train.py writes: {place[:200]} is "
        f"{_shown(found)}, expected {expected}. The checkpoint is not loaded."
    )


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"{value[:80]!r}"
    if value is None or isinstance(value, bool | float):
        return f"{value!r}"
    if isinstance(value, int):
        return f"{value}" if value.bit_length() < 200 else "a huge number"
    return f"a {type(value).__name__}"
