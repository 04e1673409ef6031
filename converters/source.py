"""Loads what is to be converted: a module made by a Python factory, or an ONNX file.

Loading runs the user's factory; nothing else of the source is executed here. Pickles of whole
objects are never read.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from converters.extras import need
from edgekit.bundle import file_digest
from edgekit.errors import SourceError, UsageError

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_TORCH_SUFFIXES = {".pt", ".pth", ".pt2", ".ckpt", ".bin", ".safetensors", ".jit", ".th"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """A torch module in evaluation mode.

    Attributes:
        name: As the engineer named it.
        module: The `torch.nn.Module`.
        digests: SHA-256 of the factory's file ("source") and of the parameters ("weights").
        packages: Distributions that compute the reference, for the lineage.
    """

    name: str
    module: Any
    digests: dict[str, str]
    packages: tuple[str, ...] = ("torch",)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSource:
    """A model file in ONNX.

    Attributes:
        name: File name.
        path: Where it lies.
        digests: SHA-256 of the file ("source").
        packages: Distributions that compute the reference, for the lineage.
    """

    name: str
    path: Path
    digests: dict[str, str]
    packages: tuple[str, ...] = ("onnxruntime",)


Source: TypeAlias = ModuleSource | OnnxSource


def load_source(text: str, weights: Path | None) -> Source:
    """Load a source as a person names it.

    Args:
        text: "package.module:function", found from the current folder too, or a path to .onnx.
        weights: state_dict for the module; only with a factory.

    Raises:
        SourceError: Unknown, does not load, is no module, or the weights do not match.
        UsageError: Weights with an ONNX file.
        MissingExtraError: torch is not installed.
    """
    path = Path(text)
    if path.suffix.lower() == ".onnx":
        if weights is not None:
            raise UsageError("an ONNX file brings its own weights", todo="leave out --weights")
        return _onnx(path)
    if path.suffix.lower() in _TORCH_SUFFIXES:
        raise SourceError(
            "holds weights, or an object that would have to be unpickled, and no module",
            where=text,
            todo="name a factory, package.module:function, and pass the file with --weights",
        )
    if not _FACTORY.fullmatch(text):
        raise SourceError(
            "is no source", where=text, todo="name package.module:function or a .onnx file"
        )
    return _module(text, weights)


def _onnx(path: Path) -> OnnxSource:
    try:
        digest = file_digest(path)
    except OSError as error:
        raise SourceError(f"cannot read ({error.strerror})", where=str(path)) from error
    return OnnxSource(name=path.name, path=path, digests={"source": digest})


def _module(text: str, weights: Path | None) -> ModuleSource:
    torch = need("torch")
    factory = _factory(text)
    torch.manual_seed(0)
    module = _call(factory, text)
    if not isinstance(module, torch.nn.Module):
        raise SourceError(f"returned {type(module).__name__}, not a torch.nn.Module", where=text)
    if type(module).forward is torch.nn.Module.forward:
        raise SourceError(f"{type(module).__name__} has no forward", where=text)
    if weights is not None:
        _load_weights(module, weights)
    _check_finite(module.state_dict(), str(weights or text))
    module.eval()
    digests = {"source": _code_digest(factory), "weights": _state_digest(module.state_dict())}
    return ModuleSource(name=text, module=module, digests=digests)


def _factory(text: str) -> Callable[[], object]:
    module_name, _, attribute = text.partition(":")
    module = _import(module_name, text)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise SourceError(f"{module_name} has no function {attribute}", where=text)
    made: Callable[[], object] = factory
    return made


def _import(name: str, text: str) -> ModuleType:
    """Import a module, from the current folder too; only its own absence is an answer."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise SourceError(
                f"its import needs {error.name}, which is absent", where=text
            ) from error
        raise SourceError(
            f"there is no module {error.name}", where=text, todo="run from the folder that holds it"
        ) from error
    except Exception as error:
        raise SourceError(_failure("its import fails", error), where=text) from error


def _call(factory: Callable[[], object], text: str) -> object:
    try:
        return factory()
    except Exception as error:
        raise SourceError(_failure("the factory fails", error), where=text) from error


def _failure(what: str, error: Exception) -> str:
    """Return one line: what, the error, and the line of code that it comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{what} ({type(error).__name__}: {message}, {Path(last.filename).name}:{last.lineno})"


def _load_weights(module: Any, path: Path) -> None:  # noqa: ANN401 (torch)
    given = _without_prefix(_read_weights(path))
    wanted = module.state_dict()
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


def _check_finite(state: Mapping[str, Any], where: str) -> None:
    torch = need("torch")
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise SourceError(f"the weights {key} hold values that are not finite", where=where)


def _listed(what: str, keys: list[str]) -> list[str]:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return [f"{what} {', '.join(keys[:3])}{more}"] if keys else []


def _state_digest(state: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        array = state[key].detach().cpu().contiguous().numpy()
        digest.update(f"{key}|{array.dtype}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _code_digest(factory: Callable[[], object]) -> str:
    try:
        file = inspect.getsourcefile(factory)
        return file_digest(Path(file)) if file else ""
    except (TypeError, OSError):
        return ""
