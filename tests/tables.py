"""Writing small data files in the forms in which benchmarks are published."""

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

__all__ = ["encoded_picture", "write_tsv"]


def encoded_picture() -> bytes:
    """A JPEG of 16 by 12 pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(stream, "JPEG")
    return stream.getvalue()


def write_tsv(path: Path, columns: Mapping[str, Sequence[str]], pictures: Sequence[str] | None = None) -> Path:
    """A TSV as VLMEvalKit has them, with `index` from 0; the first row holds the picture, the others refer to it."""
    rows = list(zip(*columns.values(), strict=True))
    pictures = pictures or [base64.b64encode(encoded_picture()).decode(), *["0"] * (len(rows) - 1)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "image", *columns])
        writer.writerows([index, pictures[index], *row] for index, row in enumerate(rows))
    return path
