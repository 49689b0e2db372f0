"""The parts a report page is put together from: sections, tables, embedded pictures."""

import base64
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

TEMPLATE = Path(__file__).with_name("report.html.j2")
HEADINGS = {
    "psnr_noisy": "PSNR noisy (dB)", "psnr_denoised": "PSNR denoised (dB)",
    "ssim_noisy": "SSIM noisy", "ssim_denoised": "SSIM denoised", "dice": "Dice", "iou": "IoU",
}  # fmt: skip


@dataclass
class Cell:
    """Text of a table cell and whether it is a number."""

    text: str
    number: bool = False


@dataclass
class Table:
    """A table of the page; with ``folded`` it is shut behind this line."""

    columns: list[str]
    rows: list[list[Cell]]
    caption: str = ""
    folded: str = ""


@dataclass
class Picture:
    """An embedded picture; ``data`` is a data: address."""

    data: str
    width: int
    height: int
    caption: str


@dataclass
class Section:
    """A heading, what one sees, what would be bad, and the pictures and tables below."""

    title: str
    seen: str
    bad: str = ""
    items: list[Table | Picture] = field(default_factory=list)


def cell(value) -> Cell:
    """A value as text: four digits for fractions, a dash for what is missing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Cell("–", True)
    if isinstance(value, (bool, np.bool_)):
        return Cell("yes" if value else "no")
    if hasattr(value, "item"):
        return cell(value.item())
    if isinstance(value, (int, float)):
        whole = isinstance(value, int) or abs(value) >= 1000
        return Cell(f"{value:,.0f}".replace(",", "\u202f") if whole else f"{value:.4g}", True)
    return Cell(str(value))


def table(frame: pd.DataFrame, caption: str = "", folded: str = "", limit: int = 200) -> Table:
    """Table of the first ``limit`` rows of ``frame``."""
    if len(frame) > limit:
        caption = f"{caption} The first {limit} of {len(frame)} rows.".strip()
    columns = [HEADINGS.get(c, str(c)) for c in frame.columns]
    values = zip(*(frame[c].head(limit).tolist() for c in frame.columns), strict=True)
    return Table(columns, [[cell(v) for v in row] for row in values], caption, folded)


def picture(path: str | Path, caption: str) -> Picture:
    """Picture of a PNG file, embedded as JPEG where that is much smaller."""
    data, kind = Path(path).read_bytes(), "png"
    with Image.open(path) as image:
        width, height = image.size
        jpeg = io.BytesIO()
        image.convert("RGB").save(jpeg, "JPEG", quality=88, subsampling=0)
    if len(jpeg.getvalue()) < 0.6 * len(data):
        data, kind = jpeg.getvalue(), "jpeg"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(address, width, height, caption)


def render(**parts) -> str:
    """HTML of the page: title, warnings, facts, summary, steps, commands, sections, footer."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**parts)
