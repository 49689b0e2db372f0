"""The points of all centrelines: a table too long for memory, read in parts."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

ROWS = 2**17  # points read at a time


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
