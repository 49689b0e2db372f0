"""Opens a place for correction in napari:  python open_in_napari.py

Stands alone: it needs napari (with a Qt, such as PySide6), numpy and pynrrd. F8 or the button saves
 the masks into corrected/, as the script for Seg3D does.
"""

import argparse
import json
import time
from pathlib import Path

import nrrd
import numpy as np


class Place:
    """The files of the folder of a place, and the layers of a viewer in which they were opened."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.record = json.loads((self.folder / "bundle.json").read_text())
        self.masks = {}  # file name: layer

    def open(self, viewer):
        """Add image, uncertainty and one layer of labels per class to ``viewer``."""
        size = self.record["voxel_size_nm_zyx"]
        first = [o * s for o, s in zip(self.record["offset_voxels_zyx"], size)]  # noqa: B905
        where = {"scale": size, "translate": first}
        for name in ("image", "uncertainty"):
            array, _ = self._read(self.record[name])
            look = {"colormap": "inferno", "blending": "additive", "opacity": 0.4}
            viewer.add_image(array, name=name, **where, **(look if name == "uncertainty" else {}))
        for number, (name, file) in enumerate(self.record["classes"].items(), start=1):
            array, _ = self._read(file)
            if (self.folder / "corrected" / file).exists():  # of an earlier sitting
                array = self._saved(file, array.shape)
            layer = viewer.add_labels(array * np.uint8(number), name=name, opacity=0.5, **where)
            layer.selected_label = number  # another colour for each class
            self.masks[file] = layer
        spot = self.record["worst_spot_zyx"]
        viewer.dims.point = [float(p * s) for p, s in zip(spot, size)]  # noqa: B905
        self._note("opened")

    def save(self):
        """Write every mask into corrected/, on the grid it came with; the files written."""
        written = []
        for file, layer in self.masks.items():
            before, header = self._read(file)
            mask = (np.asarray(layer.data) != 0).astype(np.uint8)
            if mask.shape != before.shape:
                raise ValueError(
                    f"{file}: the layer has {mask.shape} voxels, the file {before.shape}; "
                    "do not resize layers"
                )
            part = self.folder / "corrected" / (file + ".part")
            nrrd.write(str(part), mask, header, index_order="C", compression_level=2)
            written.append(part.replace(self.folder / "corrected" / file))
        self._note("saved")
        return written

    def _read(self, file):
        return nrrd.read(str(self.folder / file), index_order="C")

    def _saved(self, file, shape):
        array, _ = self._read(Path("corrected", file))
        if array.shape != shape:
            raise ValueError(
                f"corrected/{file}: {array.shape} voxels, handed out were {shape}; "
                "open it in the program it was saved by, or remove it to begin again"
            )
        return (array != 0).astype(np.uint8)

    def _note(self, what):
        (self.folder / "corrected").mkdir(exist_ok=True)
        with (self.folder / "corrected" / "times.tsv").open("a") as file:
            file.write(what + "\t" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + "\n")


def main(folder):
    """Show the place in ``folder`` until the window is closed."""
    import napari  # heavy, and not there where the rest of this file is tested
    from napari.utils.notifications import show_info

    viewer, place = napari.Viewer(title=str(folder)), Place(folder)
    place.open(viewer)

    def save_corrections(viewer=None):
        show_info("saved: " + ", ".join(path.name for path in place.save()))

    viewer.bind_key("F8", save_corrections)
    viewer.window.add_function_widget(
        lambda: save_corrections(), name="Save", magic_kwargs={"call_button": "Save corrections"}
    )
    napari.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Open a place for correction in napari.")
    parser.add_argument("folder", nargs="?", default=Path(__file__).absolute().parent, type=Path)
    main(parser.parse_args().folder)
