"""An OpenVINO model as one file: the topology and the weights in a ZIP without compression.

OpenVINO itself writes two files, model.xml and model.bin beside it. A bundle, a digest and an
update want one; `unzip` takes it apart again. Equal models give equal bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from edgekit.errors import RuntimeFailedError

XML, BIN = "model.xml", "model.bin"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16


def pack(xml: bytes, weights: bytes) -> bytes:
    """Return the one file of a model's two."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ((XML, xml), (BIN, weights)):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.external_attr = _MODE
            archive.writestr(info, content)
    return out.getvalue()


def read(model: Path) -> tuple[bytes, bytes]:
    """Return topology and weights of a packed file, or of an .xml with the .bin beside it.

    Raises:
        RuntimeFailedError: It is neither.
    """
    try:
        if model.suffix == ".xml":
            return model.read_bytes(), model.with_suffix(".bin").read_bytes()
        with zipfile.ZipFile(model) as archive:
            return archive.read(XML), archive.read(BIN)
    except FileNotFoundError as error:
        raise RuntimeFailedError(
            f"there is no {Path(str(error.filename)).name}",
            where=str(model),
            todo="give the .xml and the .bin in one folder",
        ) from error
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise RuntimeFailedError(
            "OpenVINO refuses it (no packed model)", where=str(model)
        ) from error
