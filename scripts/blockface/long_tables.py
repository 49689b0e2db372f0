"""Tables too long for memory, read in parts."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from blockface.errors import InputError
from blockface.heap import give_back

ROWS = 2**15  # points read at a time
SORTED = 20_000  # rows at a time that are put in pieces


def batches(paths: list[str | Path]) -> Iterator[pd.DataFrame]:
    """Tables of at most ROWS rows of the Parquet files ``paths``, one file after the other."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS):
                yield batch.to_pandas()


def line_parts(paths: list[str | Path]) -> Iterator[pd.DataFrame]:
    """Tables of whole centrelines, in the order of the Parquet files ``paths``."""
    for path in paths:
        rest = None
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS):
                frame = batch.to_pandas()
                frame = frame if rest is None else pd.concat([rest, frame], ignore_index=True)
                cut = frame.object_id.to_numpy() == frame.object_id.iloc[-1]
                first = int(cut.argmax())
                rest = frame.iloc[first:]
                if first:
                    yield frame.iloc[:first]
        if rest is not None:
            yield rest


@contextmanager
def in_pieces(
    folders: list[str], name: str, column: str, edges: np.ndarray
) -> Iterator[Callable[[int], pd.DataFrame]]:
    """Function that gives the rows with ``column`` from ``edges[i]`` up to ``edges[i + 1]`` by i.

    They are those of ``name``.parquet of all folders, in which rows of any piece may lie anywhere,
    as they were measured object by object. So these files are read once, and each piece is kept in
    a temporary file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        kind = _put_in_pieces(folders, name, column, edges, scratch)
        give_back()

        def rows_of(number: int) -> pd.DataFrame:
            path = Path(scratch, str(number))
            kept = np.fromfile(path, kind) if path.is_file() else np.zeros(0, kind)
            return pd.DataFrame({field: kept[field] for field in kind.names})

        yield rows_of


def _put_in_pieces(folders, name, column, edges, scratch) -> np.dtype:
    """Put the rows of piece i into the file i in ``scratch``; what a row is."""
    for rows in _held_together(folders, name):
        kind = np.dtype(rows.dtype.descr)
        piece = np.searchsorted(edges, rows[column], "right") - 1
        outside = rows[column][(piece < 0) | (piece > len(edges) - 2)]
        if len(outside):
            raise InputError(
                f"{name}.parquet: {column} {outside[0]} was measured, expected {edges[0]} to "
                f"{edges[-1] - 1}; remove the folders tables.slabs and run again"
            )
        order = np.argsort(piece, kind="stable")
        numbers, firsts = np.unique(piece[order], return_index=True)
        for number, some in zip(numbers, np.split(order, firsts[1:]), strict=False):
            with open(Path(scratch, str(number)), "ab") as file:
                file.write(rows[some].tobytes())
    return kind


def by_object(
    folders: list[str], name: str, ids: np.ndarray, most: int, column: str = "object_id"
) -> Iterator[pd.DataFrame]:
    """Rows of ``name``.parquet of all folders by ``column``, in pieces of about ``most`` rows.

    ``ids`` are those of all objects, ascending; an object is whole in one piece. At least one.
    """
    total = sum(pq.read_metadata(Path(f) / f"{name}.parquet").num_rows for f in folders)
    pieces = max(1, min(len(ids), total // most + 1))
    with in_pieces(folders, name, column, edges_of(ids, pieces)) as part:
        for piece in range(pieces):
            yield part(piece)


def edges_of(ids: np.ndarray, pieces: int) -> np.ndarray:
    """Between what ids each of so many equal ``pieces`` of ``ids``, ascending, lies."""
    if not len(ids):
        return np.array([0, 1])
    return np.append([part[0] for part in np.array_split(ids, pieces)], ids[-1] + 1)


def those_of(table: pd.DataFrame, ids: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of ``table`` whose object_id is one of ``ids``, ascending, and which of them it is."""
    own = table.object_id.to_numpy()
    at = np.searchsorted(ids, own)
    there = np.append(ids, -1)[at] == own
    return table[there], at[there]


def _held_together(folders: list[str], name: str) -> Iterator[np.ndarray]:
    """Records of ``name``.parquet of all folders, about SORTED of them at a time; at least none."""
    held, count = [], 0
    for folder in folders:
        with pq.ParquetFile(Path(folder) / f"{name}.parquet") as file:
            held.append(file.schema_arrow.empty_table().to_pandas().to_records(index=False))
            for group in range(file.num_row_groups):
                held.append(file.read_row_group(group).to_pandas().to_records(index=False))
                count += len(held[-1])
                if count > SORTED:
                    yield np.concatenate(held)
                    held, count = [], 0
    if held:
        yield np.concatenate(held)


def between(folders: list[str], name: str, column: str, first: int, last: int) -> pd.DataFrame:
    """Rows of ``name``.parquet of all folders with ``column`` from ``first`` up to ``last``.

    One group of rows after the other, and only those that can hold such rows: Arrow's own filter
    reads ahead, more the longer the file is.
    """
    parts = []
    for folder in folders:
        with pq.ParquetFile(Path(folder) / f"{name}.parquet") as file:
            number = file.schema_arrow.get_field_index(column)
            parts.append(file.schema_arrow.empty_table().to_pandas())
            for group in range(file.num_row_groups):
                known = file.metadata.row_group(group).column(number).statistics
                told = known is not None and known.has_min_max
                if told and (known.max < first or known.min >= last):
                    continue
                rows = file.read_row_group(group).to_pandas()
                parts.append(rows[rows[column].between(first, last, inclusive="left")])
    full = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(full, ignore_index=True)
