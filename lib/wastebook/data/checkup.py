"""What one should know of a set before anything learns from it: the answer of `wastebook data check`."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from wastebook import paths
from wastebook.data.cards import load_cards
from wastebook.data.copies import HIDDEN, NO_PHOTO, PACKED
from wastebook.data.splits import FEWEST, count_things
from wastebook.errors import WastebookError

HARMLESS = (HIDDEN, "the card", NO_PHOTO, PACKED)  # reasons to leave a file out that nobody need hear of


def examine(data: Any) -> dict[str, Any]:
    """All that there is to say of photos as `load_photos` gives them, as plain values: `told`, in two lines,
    `classes`, a row each, why files are `left_out`, how many photos are those of `others`, and `remarks`,
    none where nothing is odd. WastebookError where fewer than two classes can be read."""
    files, left_out = data.files, data.card["left_out"]
    classes = pd.DataFrame({"photos": files["label"].value_counts().reindex(data.classes, fill_value=0)})
    classes["groups"] = count_things(data.photos, "grouped")
    classes = classes.join(pd.crosstab(files["label"], files["split"])).fillna(0).astype(int)
    if (classes["groups"] > 0).sum() < 2:
        raise WastebookError(f"{data.root} has photos that can be read of one class only.")
    gone = Counter(why for path, why in left_out.items() if not path.endswith("/"))
    reasons = ", ".join(f"{count:,} {why}" for why, count in gone.items())
    used = f"{len(files):,} photos in {len(classes):,} classes, pairs alike: {len(data.pairs):,}"
    found = f"{len(files) + gone.total():,} files: {used}; left out: {reasons or 'none'}"
    others = _count_known(data)
    tables = {"classes": classes.rename_axis("class").reset_index(), "problems": data.problems}
    rows = {name: table.to_dict("records") for name, table in (tables | {"duplicates": data.pairs}).items()}
    return rows | {
        **{"name": data.name, "root": str(data.root)},
        "told": [data.card.get("layout", f"{data.card['source']}: {data.root}"), found],
        "photos": classes["photos"].to_dict(),
        "left_out": left_out,
        "others": others,
        "remarks": [*data.card.get("remarks", []), *_remark(data, left_out, classes, others)],
    }


def _remark(data: Any, left_out: dict[str, str], classes: pd.DataFrame, others: dict[str, int]) -> list[str]:
    """What is odd, a line each."""
    first = {why: path for path, why in reversed(left_out.items()) if why not in HARMLESS}
    lines = [f"left out, {why}: {path}" for why, path in first.items()]
    for split in classes.columns[2:]:
        if none := ", ".join(classes.index[classes[split] == 0]):
            lines.append(f"no photos in {split}: {none}")
    for problem, some in data.problems.groupby("problem"):
        lines.append(f"{problem}: {len(some):,} ({some['path'].iloc[0]}: {some['detail'].iloc[0]})")
    if two := int((~data.pairs["same_label"].astype(bool)).sum()):
        lines.append(f"pairs of copies in two classes, one of each wrongly: {two:,}")
    if across := int((~data.pairs["same_split"].fillna(True).astype(bool)).sum()):
        lines.append(f"pairs that show the same across the splits (not so if `grouped`): {across:,}")
    if few := ", ".join(classes.index[classes["groups"] < FEWEST]):
        lines.append(f"too few photos of different things for train, validation and test: {few}; add some")
    for name, count in others.items():
        card = load_cards().get(name, {"title": name.replace("+", "/")})  # without a card: where it is
        mine = f"{count:,} of your {len(data.files):,} photos"
        rule = "do not learn from it" if card.get("test_only") else "do not test on it"
        lines.append(f"{mine} are {card['title']}'s, byte for byte: {rule}")
    return lines


def _count_known(data: Any) -> dict[str, int]:
    """How many photos are those of each known set, but its own, by the first eight bytes of their SHA-256."""
    own = np.array([int(sha256[:16], 16) for sha256 in data.files["sha256"]], np.uint64)
    files = (paths.CARDS / "audit").glob("*.sha256")
    found = {file.stem: int(np.isin(own, np.fromfile(file, ">u8")).sum()) for file in sorted(files)}
    return {name: count for name, count in found.items() if count and name != data.name}
