"""What a report is made of: the files of an iteration, any of which may be missing."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import zarr

from blockface import sampling
from blockface.annotations import known_slices
from blockface.iterations import gather
from blockface.tables import read_table
from blockface.volume import open_volume, voxel_size

WHOLE = 800  # pixels that the longer side of a whole slice is brought down to


@dataclass
class Given:
    """Everything a report may be made of: paths, or None for a part that is missing."""

    dataset: str
    iteration: int
    figures: str
    held_out_slices: list[int]
    threshold: float
    raw: str | None = None
    denoised: str | None = None
    registration: str | None = None
    registration_figure: str | None = None
    noise: str | None = None
    noise_figure: str | None = None
    denoiser_history: str | None = None
    denoiser_scores: str | None = None
    annotations: str | None = None
    import_report: str | None = None
    patches_table: str | None = None
    history: str | None = None
    probability: str | None = None
    evaluation: list[str] | None = None
    worklist: str | None = None
    objects: str | None = None
    objects_table: str | None = None
    contacts_table: str | None = None
    summary_table: str | None = None
    diameters_table: str | None = None
    radial_table: str | None = None
    truth: str | None = None
    manifest: str | None = None
    earlier: list[str] = field(default_factory=list)

    def file(self, name: str) -> Path:
        """Path of the picture ``name``."""
        return Path(self.figures) / f"{name}.png"

    def volume(self, name: str) -> zarr.Array | None:
        """The volume given as ``name``, if there is one."""
        path = getattr(self, name)
        return open_volume(path) if path else None

    def table(self, name: str) -> pd.DataFrame | None:
        """The table given as ``name``, if there is one and it has rows."""
        path = getattr(self, name)
        frame = read_table(path) if path else None
        return None if frame is None or frame.empty else frame

    @cached_property
    def image(self) -> zarr.Array | None:
        """The volume a network looked at: denoised, or raw where there is no denoiser."""
        return self.volume("denoised") if self.denoised else self.volume("raw")

    @cached_property
    def scores(self) -> pd.DataFrame | None:
        """Scores of this and all earlier iterations, one row per iteration, split and class."""
        if not self.evaluation:
            return None
        frame = pd.concat([read_table(path) for path in self.evaluation], ignore_index=True)
        frame = frame[frame["iteration"] <= self.iteration]
        frame = frame.drop_duplicates(["iteration", "split", "class"], keep="last")
        return None if frame.empty else frame

    @cached_property
    def iterations(self) -> pd.DataFrame | None:
        """The audit table of this iteration and those before it; None for the first."""
        if not self.earlier or not self.manifest:
            return None
        return gather([*self.earlier, Path(self.manifest).parent])

    @cached_property
    def annotated(self) -> list[int]:
        """Slices somebody reviewed."""
        if not self.annotations:
            return []
        return [int(z) for z in known_slices(open_volume(self.annotations))]

    @cached_property
    def classes(self) -> dict[int, str]:
        """Class values and names, from the probabilities."""
        attributes = self.volume("probability").attrs
        return dict(zip(map(int, attributes["values"]), attributes["classes"], strict=True))

    def looks(self, zs: list[int], size: int | None) -> tuple[list, list, tuple, int]:
        """Images and predictions of slices ``zs``, their pixel size in nm, and the thinning.

        Shown is the middle of ``size`` pixels, or with None the whole slice, thinned.
        """
        image, probability = self.image, self.volume("probability")
        shape = probability.shape[-2:]
        part = sampling.window(shape, size) if size else (slice(None), slice(None))
        every = 1 if size else sampling.step(shape, WHOLE)
        values = list(self.classes)
        labels = [
            sampling.predicted(probability, z, values, self.threshold, yx=part, every=every)
            for z in zs
        ]
        images = [sampling.thinned(image[z, *part], every) for z in zs]
        pixel = tuple(every * v for v in voxel_size(probability)[1:])
        return images, labels, pixel, every
