"""Reads plain weights into a module, and says what else a file of PyTorch may hold.

Pickles of whole objects are never loaded: that would run code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.extras import need
from edgekit.errors import SourceError

TORCHSCRIPT_TODO = (
    "name the factory, package.module:function, with --weights, or export the module again with "
    "torch.export.save or torch.onnx.export(dynamo=True)"
)


def is_torchscript(path: Path) -> bool:
    """Say whether a file is TorchScript: an archive that holds code."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return any("/code/" in name or name.startswith("code/") for name in names)


def load_weights(module: Any, path: Path) -> None:  # noqa: ANN401 (torch)
    """Load a state_dict (.pt, .pth, .safetensors) that matches the module key by key.

    Raises:
        SourceError: It cannot be read, holds something else, or does not match; the message names
            the keys.
    """
    given = _without_prefix(_read_weights(path))
    wanted = module.state_dict()
    # A counter of training steps, absent from checkpoints before PyTorch 0.4.1.
    counters = {key: wanted[key] for key in wanted if key.endswith(".num_batches_tracked")}
    given = {**counters, **given}
    problems = [
        *_listed("missing", sorted(set(wanted) - set(given))),
        *_listed("unexpected", sorted(set(given) - set(wanted))),
        *_listed("of another shape", _misshapen(given, wanted)),
    ]
    if problems:
        raise SourceError(
            f"the weights do not match {type(module).__name__}: {', '.join(problems)}",
            where=str(path),
        )
    module.load_state_dict(given)


def _misshapen(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} {list(given[key].shape)} for {list(wanted[key].shape)}"
        for key in sorted(set(given) & set(wanted))
        if given[key].shape != wanted[key].shape
    ]


def _read_weights(path: Path) -> dict[str, Any]:
    torch = need("torch")
    if is_torchscript(path):
        raise SourceError("is TorchScript, no state_dict", where=str(path), todo=TORCHSCRIPT_TODO)
    try:
        if path.suffix == ".safetensors":
            loaded = need("safetensors.torch").load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SourceError(f"cannot read ({error.strerror})", where=str(path)) from error
    except Exception as error:
        raise SourceError(
            "holds no plain weights (objects are not unpickled)",
            where=str(path),
            todo="save it with torch.save(module.state_dict(), path)",
        ) from error
    inner = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not inner or not all(isinstance(value, torch.Tensor) for value in inner.values()):
        raise SourceError("holds no state_dict", where=str(path))
    return dict(inner)


def _without_prefix(state: dict[str, Any]) -> dict[str, Any]:
    """Drop "module.", which data-parallel training puts before every key."""
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


def check_finite(state: Mapping[str, Any], where: str) -> None:
    """Refuse weights that are not finite.

    Raises:
        SourceError: The message names the first of them.
    """
    torch = need("torch")
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise SourceError(f"the weights {key} hold values that are not finite", where=where)


def _listed(what: str, keys: list[str]) -> list[str]:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return [f"{what} {', '.join(keys[:3])}{more}"] if keys else []
