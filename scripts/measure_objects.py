"""Join what the slabs measured into the tables of objects, pairs, and the whole stack."""

from pathlib import Path

from blockface import object_tables
from blockface.contacts import contact_table
from blockface.cross_sections import centrelines, cross_sections
from blockface.heap import give_back
from blockface.long_tables import line_parts
from blockface.summary import stack_tables
from blockface.tables import read_table, write_long_table, write_table
from blockface.volume import open_volume, voxel_size

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

    def read(folders, *names):
        folders = [folders] if isinstance(folders, str) else folders
        return {n: [read_table(Path(f) / f"{n}.parquet") for f in folders] for n in names}

    tables = read(parts, "sums", "lines") | read(pairs, "contacts", "layers", "neighbours")
    known = read_table(index, INDEX).sort_values("object_id", ignore_index=True)
    contacts = contact_table(tables["contacts"], known, where[1])
    rows = object_tables.object_table(tables, known, contacts, *where, intensity)
    give_back()
    folders = [parts] if isinstance(parts, str) else parts
    write_long_table(cross_sections(folders, array.shape[0], where[1]), cross_sections_table)
    write_long_table(centrelines(folders, known.object_id), centrelines_table)
    lines = Path(centrelines_table).with_suffix(".parquet")
    classes = list(array.attrs["classes"].values())
    found = stack_tables(
        rows, known, tables["layers"], lambda: line_parts([lines]), classes, *where
    )
    write_table(contacts, contacts_table)
    write_table(object_tables.neighbour_table(tables["neighbours"], rows), neighbours_table)
    write_table(found["summary"], summary_table)
    write_table(found["diameters"], diameters_table)
    write_table(found["radial_distribution"], radial_table)
    write_table(rows, objects_table)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
