"""The table of pairs: which images belong together, and which pairs show one field.

The table is text with the columns ``noisy`` and ``clean``. Several noisy images may have one clean
one, and the partner may be noisy itself: another short scan of the field.
"""

from pathlib import Path

import pandas as pd

from blockface.errors import InputError
from blockface.tables import read_table

ENOUGH_FIELDS = 5  # with fewer to learn from, the result hangs on which ones they are


def read_pairs(pairs_tsv: str | Path) -> pd.DataFrame:
    """Table with the paths ``noisy`` and ``clean`` of every pair, one row each, in file order.

    Paths in the file are absolute or start from the file's own folder.

    Raises
    ------
    InputError
        The table, a column or an image is missing, there is no pair, a pair is listed twice or
        an image is named as its own partner.
    """
    folder = Path(pairs_tsv).parent
    listed = read_table(pairs_tsv, ("noisy", "clean"))[["noisy", "clean"]]
    if listed.empty:
        raise InputError(f"{pairs_tsv}: no pair is listed; write one per line, noisy and clean")
    rows = []
    for number, (noisy, clean) in enumerate(listed.itertuples(index=False), start=2):
        where, row = f"{pairs_tsv}, line {number}", {}
        for column, name in (("noisy", noisy), ("clean", clean)):
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"{where}: no file under {column}; expected a path")
            path = folder / name.strip()
            if not path.is_file():
                raise InputError(
                    f"{where}: {column} image {path} not found; expected a path that is "
                    "absolute or starts from the table's folder"
                )
            row[column] = str(path)
        same = [Path(path).resolve() for path in row.values()]
        if same[0] == same[1]:
            raise InputError(
                f"{where}: {row['noisy']} is named as noisy and as clean; a pair is two images "
                "of one field"
            )
        if same in [seen for _, seen in rows]:
            raise InputError(f"{where}: the pair of {row['noisy']} is listed twice; remove one")
        rows.append((row, same))
    return pd.DataFrame([row for row, _ in rows])


def same_as_before(seen: list[tuple[str, str]]) -> list[int | None]:
    """Of every pair (digests), the first one before it with the same two images, or None."""
    first: dict[tuple[str, str], int] = {}
    found = [first.setdefault(pair, number) for number, pair in enumerate(seen)]
    return [None if other == number else other for number, other in enumerate(found)]


def fields(seen: list[tuple[str, str]]) -> list[int]:
    """Number of the field that every pair shows: pairs that share an image share their field."""
    field = list(range(len(seen)))
    for number, pair in enumerate(seen):
        touched = {field[i] for i in range(number) if set(seen[i]) & set(pair)}
        if touched:
            field = [min(touched) if f in touched or i == number else f
                     for i, f in enumerate(field)]  # fmt: skip
    order = sorted(set(field))
    return [order.index(f) for f in field]
