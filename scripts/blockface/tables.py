"""Tables on disk: text for people (CSV or TSV) and, beside it, Parquet for programs."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from blockface.errors import InputError

pa.set_memory_pool(pa.system_memory_pool())  # its own keeps what is freed, half as much again

NAMES = ("class", "class_a", "class_b", "neighbour_class")  # may be "NA", or "1": no numbers
WAITING_BYTES = 2**20  # of short tables that are not yet written


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write ``frame`` as text, tab-separated if ``path`` ends in .tsv, and as Parquet beside it.

    Both files appear whole or not at all: they are written under another name, then renamed.
    """
    write_parts([frame], path)


def write_parts(frames: Iterable[pd.DataFrame], path: str | Path) -> None:
    """Write ``frames``, at least one, all of the same columns, one after the other as one table.

    As `write_table`; no more than one frame is in memory.
    """
    with written(path) as (text, appended):
        for number, frame in enumerate(frames):
            appended(frame)
            frame.to_csv(
                text, index=False, header=number == 0, float_format="%.8g",
                sep="\t" if Path(path).suffix == ".tsv" else ",",
            )  # fmt: skip


def write_long_table(frames: Iterable[pd.DataFrame], path: str | Path) -> None:
    """As `write_parts`, as .csv with all digits, which are written many times faster."""
    with written(path) as (text, appended):
        for number, frame in enumerate(frames):
            table = appended(frame)
            options = pyarrow.csv.WriteOptions(include_header=number == 0, quoting_style="none")
            pyarrow.csv.write_csv(table, text, options)


@contextmanager
def written(path: str | Path) -> Iterator[tuple[BinaryIO, "Appended"]]:
    """The files of a table, to be written into; they get their names when all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet = path.with_suffix(".parquet")
    with open(f"{path}.part", "wb") as text, Appended(f"{parquet}.part") as appended:
        yield text, appended
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
            frame = pd.read_csv(
                path, sep="\t" if path.suffix == ".tsv" else ",", dtype=dict.fromkeys(NAMES, str),
                keep_default_na=False, na_values=[""],
            )  # fmt: skip
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


class Columns:
    """Columns of a Parquet file, of all its rows or of ``rows``, each read when it is asked for."""

    def __init__(self, path: str | Path, rows: slice | np.ndarray = slice(None)):
        self.path, self.rows = path, rows
        schema = pq.read_schema(path)
        self.dtypes = {field.name: field.type.to_pandas_dtype() for field in schema}

    def __getitem__(self, name: str) -> np.ndarray:
        return pq.read_table(self.path, columns=[name]).column(0).to_numpy()[self.rows]

    def __len__(self) -> int:
        return len(self[next(iter(self.dtypes))])
