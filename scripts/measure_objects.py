"""Join what the slabs measured into the tables of objects, contacts, neighbours and classes."""

from pathlib import Path

from blockface import object_tables
from blockface.cross_sections import centrelines, cross_sections
from blockface.tables import read_table, write_long_table, write_table
from blockface.volume import open_volume, voxel_size

INDEX = ("object_id", "class", "voxels", "z0", "z1", "y0", "y1", "x0", "x1")


def main(
    *,
    parts,
    index,
    objects,
    objects_table,
    contacts_table,
    neighbours_table,
    summary_table,
    cross_sections_table,
    centrelines_table,
    threads,
    intensity=False,
):
    """Write the tables from the directories ``parts`` that ``measure_slab`` made."""
    array = open_volume(objects)
    where = array.shape, voxel_size(array)
    folders = [parts] if isinstance(parts, str) else parts
    tables = {
        name: [read_table(Path(folder) / f"{name}.parquet") for folder in folders]
        for name in ("sums", "contacts", "lines", "neighbours")
    }
    known = read_table(index, INDEX).sort_values("object_id", ignore_index=True)
    contacts = object_tables.contact_table(tables["contacts"])
    rows = object_tables.object_table(tables, known, contacts, *where, intensity)
    write_table(contacts, contacts_table)
    write_table(object_tables.neighbour_table(tables["neighbours"], rows), neighbours_table)
    classes = list(array.attrs["classes"].values())
    write_table(object_tables.summary_table(rows, known, classes, *where), summary_table)
    write_long_table(cross_sections(folders, array.shape[0], where[1]), cross_sections_table)
    write_long_table(centrelines(folders, known.object_id), centrelines_table)
    write_table(rows, objects_table)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
