"""The nearest neighbours of every object that starts in a slab, over all and in every class."""

import logging
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from blockface.crops import Crops
from blockface.heap import give_back
from blockface.neighbours import Candidates, nearest
from blockface.object_rows import starting_in, typed
from blockface.surfaces import Surfaces, in_turn
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

TOGETHER = 256  # objects whose neighbours are looked up in one go
COLUMNS = ("object_id", "neighbour_id", "rank", "class_rank", "surface_distance_nm")


def neighbour_rows(array, index: pd.DataFrame, rows: list[slice], k: int) -> Iterator[pd.DataFrame]:
    """Table COLUMNS for the objects whose box starts in ``rows``, in parts, at least one.

    The ``k`` nearest of any class have ``rank`` 1 to k; the nearest of each class, the object's own
    too, is listed where it is not among them, with ``rank`` 0. ``class_rank`` counts within the
    class of the neighbour. ``index`` is sorted by object_id.
    """
    give_back()
    spacing, crops = voxel_size(array), Crops(array)
    surfaces = Surfaces(crops, index, spacing)
    everyone = Candidates(surfaces)
    ids, (kinds, names) = index.object_id.to_numpy(), pd.factorize(index["class"])
    classes = {
        number: Candidates(surfaces, np.flatnonzero(kinds == number))
        for number in (range(len(names)) if len(names) > 1 else ())
    }
    own = starting_in(index, rows, array.chunks)
    own = own[in_turn(index.iloc[own], array.chunks, spacing)]
    found, told = [], time.monotonic()
    for n, row in enumerate(own.tolist()):
        if n % TOGETHER == 0:
            yield typed([np.array(found).reshape(-1, len(COLUMNS))], COLUMNS)
            found = []
            for candidates in (everyone, *classes.values()):
                candidates.look_ahead(own[n : n + TOGETHER])
        seen = Counter()
        for rank, (distance, other) in enumerate(nearest(row, k, everyone), 1):
            seen[kinds[other]] += 1
            found.append((ids[row], ids[other], rank, seen[kinds[other]], distance))
        for number in [number for number in classes if number not in seen]:
            for distance, other in nearest(row, 1, classes[number]):
                found.append((ids[row], ids[other], 0, 1, distance))
        if time.monotonic() - told > 10:
            told = time.monotonic()
            log.info("neighbours: object %d of %d", n + 1, len(own))
    yield typed([np.array(found).reshape(-1, len(COLUMNS))], COLUMNS)
