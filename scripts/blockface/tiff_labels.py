"""Label stacks that come as TIFF: slices read when asked for."""

from pathlib import Path

from blockface.errors import InputError
from blockface.formats.tiff import open_tiff


class TiffStack:
    """Slices of a TIFF stack, read when asked for: ``stack[z]``, ``stack[a:b]``."""

    def __init__(self, path: Path, voxel_size_nm: tuple[float, float, float]):
        """Look at the file at ``path``; a voxel size it tells is held against the stack's."""
        found = open_tiff(path)
        if found.dtype.kind not in "iub":
            raise InputError(
                f"{path}: values of type {found.dtype}; expected whole numbers, one per class; "
                "save the labels as 8-bit or 16-bit TIFF"
            )
        self.shape, self.read, self.note = found.shape, found.reader, ""
        told = [(a, b) for a, b in zip(found.voxel_size_nm, voxel_size_nm, strict=True) if a]
        if any(abs(a - b) > 0.01 * b for a, b in told):
            self.note = f"the file tells a voxel size of {found.voxel_size_nm} nm (z y x); ignored"

    def __getitem__(self, index):
        """Slice number ``index``, or a run of slices."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(self.shape[0])
            return self.read(start, stop)
        return self.read(index, index + 1)[0]
