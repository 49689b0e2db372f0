"""Look through a stack before anything is made of it: formats, sizes, gaps, voxel size."""

import hashlib
import json
from pathlib import Path

from blockface.job import run
from blockface.stack import check_stack


def main(*, stack, checked, voxel_size_nm, dataset, threads) -> None:
    found = check_stack(stack, voxel_size_nm, dataset)
    files = [(str(file), Path(file).stat()) for file in found.files]
    seen = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in files]
    record = {
        "shape": list(found.shape),
        "dtype": str(found.dtype),
        "voxel_size_nm": list(found.voxel_size_nm),
        "files": len(files),
        "names_sizes_and_dates_sha256": hashlib.sha256(json.dumps(seen).encode()).hexdigest(),
    }
    Path(checked).write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    run(main, snakemake)
