"""Join what the slabs measured into the tables of objects, pairs, and the whole stack."""

from pathlib import Path

from blockface.contacts import contact_tables
from blockface.cross_sections import centrelines, cross_sections
from blockface.heap import give_back
from blockface.long_tables import batches, line_parts
from blockface.object_index import read_index
from blockface.object_tables import neighbour_tables, object_tables
from blockface.summary import stack_tables
from blockface.tables import write_long_table, write_parts, write_table
from blockface.volume import open_volume, voxel_size


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
    known = read_index(index)
    write_long_table(cross_sections(parts, *where), cross_sections_table)
    write_long_table(centrelines(parts, known.object_id), centrelines_table)
    give_back()
    write_parts(contact_tables(pairs, known, where[1]), contacts_table)
    lines, contacts, rows = (
        Path(table).with_suffix(".parquet")
        for table in (centrelines_table, contacts_table, objects_table)
    )
    write_parts(object_tables(parts, pairs, known, contacts, *where, intensity), objects_table)
    write_long_table(neighbour_tables(pairs, known, rows), neighbours_table)
    give_back()
    classes = list(array.attrs["classes"].values())
    layers = batches([Path(folder) / "layers.parquet" for folder in pairs])
    found = stack_tables(rows, known, layers, lambda: line_parts([lines]), classes, *where)
    write_table(found["summary"], summary_table)
    write_table(found["diameters"], diameters_table)
    write_table(found["radial_distribution"], radial_table)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
