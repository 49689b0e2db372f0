"""Make the input of the two real configurations from the real data (BLOCKFACE_DATA).

real/dwell/, real/line/             pairs.tsv and one TIFF per image, 14 and 8 pairs
real/mitochondria.tif               link to the SBF-SEM stack
real/truth/                         what a person painted in it: objects.zarr, objects.csv
annotations/mitochondria/00/        two training slices and the held-out ones, as Seg3D exports them
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import nrrd
import numpy as np
import pandas as pd
import tifffile
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

from blockface.tables import write_table  # noqa: E402
from blockface.volume import create_volume  # noqa: E402
from demo.seg3d_export import write_mask  # noqa: E402

PAIRS = {
    "dwell": ("dwell_noisy_100ns.tif", "dwell_clean_30us.tif", "pairs_dwell.csv"),
    "line": ("line_noisy_1x.tif", "line_clean_50x.tif", "pairs_line.csv"),
}
STACK, MASK = "raw_z010-029.tif", "mito_z010-029.tif"
ANNOTATED = (4, 13)  # the training slices of round 00, fixed before any score was seen
NEEDED = [
    *(f"sem_dwell_pairs/{name}" for names in PAIRS.values() for name in names),
    f"cdeep3m_sbem_mito/{STACK}",
    f"cdeep3m_sbem_mito/{MASK}",
]


def data_folder(given: str | None = None) -> Path:
    """Folder of the real data: ``given``, BLOCKFACE_DATA, or shared/data beside the repository.

    Raises
    ------
    FileNotFoundError
        One line: what is missing, where it was looked for, and how to name another folder.
    """
    beside = ROOT.parent / "shared" / "data"
    folder = Path(given or os.environ.get("BLOCKFACE_DATA") or beside).resolve()
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: real data not found, {len(missing)} of {len(NEEDED)} files are missing "
            f"(first {missing[0]}); set BLOCKFACE_DATA to the folder that holds sem_dwell_pairs "
            "and cdeep3m_sbem_mito"
        )
    return folder


def prepare(data: Path, root: Path) -> None:
    """Write everything below ``root``; what is there already is left as it is."""
    for kind in PAIRS:
        write_pairs(data / "sem_dwell_pairs", kind, root / "real" / kind)
    source = data / "cdeep3m_sbem_mito"
    link = root / "real" / "mitochondria.tif"
    if not (link.is_symlink() and link.resolve() == source / STACK):
        link.unlink(missing_ok=True)
        link.symlink_to(source / STACK)
    dataset = yaml.safe_load((ROOT / "config/real_mitochondria.yaml").read_text())["datasets"]
    settings = dataset["mitochondria"]
    painted = (tifffile.imread(source / MASK) > 0).astype(np.uint8)
    write_truth(painted, settings, root / "real" / "truth")
    write_first_round(painted, settings, root / "annotations" / "mitochondria" / "00")


def write_pairs(source: Path, kind: str, folder: Path) -> None:
    """Images of one kind of pair, each a file, and the table that names them."""
    if (folder / "pairs.tsv").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    noisy, clean, table = PAIRS[kind]
    listed = pd.read_csv(source / table)
    columns = {"noisy": tifffile.imread(source / noisy), "clean": tifffile.imread(source / clean)}
    names = {name: listed[f"{name}_file"].str.replace(" ", "_") for name in columns}
    for column, stack in columns.items():
        for name, image, pixel in zip(names[column], stack, listed["pixel_nm"], strict=True):
            tifffile.imwrite(
                folder / name,
                image,
                metadata=None,
                resolution=(1e7 / pixel, 1e7 / pixel),
                resolutionunit="CENTIMETER",
            )
    whole = folder / "pairs.tsv.part"
    pd.DataFrame(names).to_csv(whole, sep="\t", index=False)
    os.replace(whole, folder / "pairs.tsv")


def write_truth(painted: np.ndarray, settings: dict, folder: Path) -> None:
    """What the person painted in the whole stack, for the annotator of the next round."""
    if (folder / "objects.csv").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    volume = create_volume(
        folder / "objects.zarr", painted.shape, "uint8", tuple(settings["voxel_size_nm"])
    )
    volume[:] = painted
    classes = settings["classes"]
    write_table(
        pd.DataFrame({"object_id": list(classes), "class": list(classes.values())}),
        folder / "objects.csv",
    )


def write_first_round(painted: np.ndarray, settings: dict, folder: Path) -> None:
    """Round 00: one whole-stack mask with paint on the training and the held-out slices."""
    (name,) = settings["classes"].values()
    file, part = folder / f"{name}.nrrd", folder.parent / f".{name}.part"
    chosen = np.zeros((len(painted), 1, 1), bool)
    chosen[[*ANNOTATED, *settings["held_out_slices"]]] = True
    if file.is_file():
        if not np.array_equal(nrrd.read(str(file), index_order="C")[0], painted * chosen):
            raise FileExistsError(
                f"{file}: painted on other slices than the configuration asks for now, and "
                f"annotations are never overwritten; remove {folder.parent} and run again"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_mask(part, painted * chosen, tuple(settings["voxel_size_nm"]))
    os.replace(part, file)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of the real data (default: BLOCKFACE_DATA)")
    parser.add_argument("--directory", default=".", help="working directory of the workflow")
    options = parser.parse_args(argv)
    try:
        prepare(data_folder(options.data), Path(options.directory))
    except (FileNotFoundError, FileExistsError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
