"""Tables on disk: text for people (CSV or TSV) and, beside it, Parquet for programs."""

import os
from pathlib import Path

import pandas as pd

from blockface.errors import InputError


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write ``frame`` as text, tab-separated if ``path`` ends in .tsv, and as Parquet beside it.

    Both files appear whole or not at all: they are written under another name, then renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet = path.with_suffix(".parquet")
    frame.to_parquet(f"{parquet}.part", index=False)
    separator = "\t" if path.suffix == ".tsv" else ","
    frame.to_csv(f"{path}.part", index=False, sep=separator, float_format="%.8g")
    os.replace(f"{parquet}.part", parquet)
    os.replace(f"{path}.part", path)


def read_table(path: str | Path, columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Table at ``path`` (.csv, .tsv or .parquet) that holds at least ``columns``.

    Raises
    ------
    InputError
        The file is missing or empty, or a column is not there.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: table not found; check the path in the configuration")
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    else:
        try:
            frame = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
        except pd.errors.EmptyDataError:
            raise InputError(f"{path}: the table is empty; expected a header line") from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(frame.columns)}; "
            "columns are separated by tabs in .tsv and by commas in .csv files"
        )
    return frame
