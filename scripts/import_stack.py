"""Copy the stack of a dataset, whatever its format, into one volume (rule import_stack)."""

import logging

from blockface.intake import copy_stack
from blockface.job import run
from blockface.stack import check_stack

log = logging.getLogger(__name__)


def main(*, stack, raw, voxel_size_nm=None, dataset=None, threads=1, checked=None) -> None:
    """Write the file or folder ``stack`` as the volume ``raw``."""
    found = check_stack(stack, voxel_size_nm, dataset)
    log.info("%s: %s %s, voxel %s nm (z, y, x), %d file(s)", found.source, found.shape,
             found.dtype, found.voxel_size_nm, len(found.files))  # fmt: skip
    copy_stack(found, raw, threads)


if __name__ == "__main__":
    run(main, snakemake)
