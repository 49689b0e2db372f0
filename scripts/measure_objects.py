"""Join what the slabs measured into the tables of objects, pairs, and the whole stack."""

from pathlib import Path

import pandas as pd

from blockface import object_tables
from blockface.contacts import contact_table
from blockface.cross_sections import centrelines, cross_sections
from blockface.heap import give_back
from blockface.long_tables import line_parts
from blockface.measure import join_sums, shapes
from blockface.summary import stack_tables
from blockface.tables import read_table, write_long_table, write_table
from blockface.volume import open_volume, voxel_size

NEAREST = ["object_id", "neighbour_id", "surface_distance_nm"]
INDEX = ("object_id", "class", "voxels", "z0", "z1", "y0", "y1", "x0", "x1")


def main(
    *,
    parts,
    pairs,
    index,
    objects,
    objects_table,
    contacts_table,
    neighbours_table,
    summary_table,
    diameters_table,
    radial_table,
    cross_sections_table,
    centrelines_table,
    threads,
    intensity=False,
):
    """Write the tables from what ``measure_slab`` (``parts``) and ``measure_pairs`` made."""
    array = open_volume(objects)
    where = array.shape, voxel_size(array)
    parts, pairs = (
        [folders] if isinstance(folders, str) else folders for folders in (parts, pairs)
    )
    known = read_table(index, INDEX).sort_values("object_id", ignore_index=True)
    write_long_table(cross_sections(parts, array.shape[0], where[1]), cross_sections_table)
    write_long_table(centrelines(parts, known.object_id), centrelines_table)
    give_back()

    def read(folders, name, **which):
        return (pd.read_parquet(Path(f) / f"{name}.parquet", **which) for f in folders)

    contacts = contact_table(list(read(pairs, "contacts")), known, where[1])
    write_table(contacts, contacts_table)
    rows = shapes(join_sums(list(read(parts, "sums")), known), known, *where)
    near = read(pairs, "neighbours", filters=[("rank", "==", 1)], columns=NEAREST)
    rows = object_tables.object_table(rows, read(parts, "lines"), near, contacts, intensity)
    del contacts, near
    give_back()
    lines = Path(centrelines_table).with_suffix(".parquet")
    classes = list(array.attrs["classes"].values())
    layers = list(read(pairs, "layers"))
    found = stack_tables(rows, known, layers, lambda: line_parts([lines]), classes, *where)
    write_table(found["summary"], summary_table)
    write_table(found["diameters"], diameters_table)
    write_table(found["radial_distribution"], radial_table)
    write_table(rows, objects_table)
    rows = rows[list(object_tables.PLACE)].copy()
    del known, layers
    give_back()
    write_long_table(object_tables.neighbour_tables(pairs, rows), neighbours_table)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
