"""Tables on disk: text for people (CSV or TSV) and, beside it, Parquet for programs."""

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from blockface.errors import InputError

pa.set_memory_pool(pa.system_memory_pool())  # its own keeps what is freed, half as much again

WAITING_BYTES = 2**20  # of short tables that are not yet written


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


def write_long_table(frames: Iterable[pd.DataFrame], path: str | Path) -> None:
    """Write ``frames``, one after the other, as one .csv and as Parquet beside it.

    At least one frame, all of the same columns; no more than one is in memory. Both files appear
    whole or not at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet = path.with_suffix(".parquet")
    with open(f"{path}.part", "wb") as text, Appended(f"{parquet}.part") as appended:
        for number, frame in enumerate(frames):
            table = appended(frame)
            options = pyarrow.csv.WriteOptions(include_header=number == 0, quoting_style="none")
            pyarrow.csv.write_csv(table, text, options)
    os.replace(f"{parquet}.part", parquet)
    os.replace(f"{path}.part", path)


class Appended:
    """A Parquet file to which tables of the same columns are added by calling it."""

    def __init__(self, path: str | Path):
        self.path, self.writer, self.waiting, self.held = str(path), None, [], 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.flush()
        if self.writer:
            self.writer.close()

    def __call__(self, frame: pd.DataFrame) -> pa.Table:
        """Add ``frame``; short ones wait until there are enough. The frame as Arrow table."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        self.waiting.append(table)
        self.held += table.nbytes
        if self.held >= WAITING_BYTES:
            self.flush()
        return table

    def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            table = pa.concat_tables(self.waiting)
            self.writer = self.writer or pq.ParquetWriter(self.path, table.schema)
            self.writer.write_table(table)
        self.waiting, self.held = [], 0


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
        except (UnicodeDecodeError, pd.errors.ParserError) as error:
            raise InputError(
                f"{path}: not a table of plain text ({error}); expected UTF-8 with "
                f"{'tabs' if path.suffix == '.tsv' else 'commas'} between the columns; save it so"
            ) from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(frame.columns)}; "
            "columns are separated by tabs in .tsv and by commas in .csv files"
        )
    return frame
