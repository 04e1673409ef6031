"""Loads what is to be converted: a module made by a Python factory, a program, an ONNX file.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from converters.extras import need
from converters.quiet import quiet_python
from converters.weights import TORCHSCRIPT_TODO, check_finite, is_torchscript, load_weights
from edgekit.bundle import file_digest
from edgekit.errors import SourceError, UsageError
from edgekit.manifest import TensorSpec

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_TOLD = 8
_TORCH_SUFFIXES = {".pt", ".pth", ".pt2", ".ckpt", ".bin", ".safetensors", ".jit", ".th"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSource:
    """A torch module in evaluation mode.

    Attributes:
        name: As the engineer named it.
        module: The `torch.nn.Module`.
        digests: SHA-256 of the factory's file ("source") and of the parameters ("weights").
        program: What torch exported earlier (.pt2); None for a factory.
        inputs: Of such a program, in order.
        packages: Distributions that compute the reference, for the lineage.
    """

    name: str
    module: Any
    digests: dict[str, str]
    program: Any = None
    inputs: tuple[TensorSpec, ...] = ()
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
        text: "package.module:function", found from the current folder too, or a path to .onnx
            or .pt2.
        weights: state_dict for the module; only with a factory.

    Raises:
        SourceError: Unknown, does not load, is no module, or the weights do not match.
        UsageError: Weights with a file that brings its own.
        MissingExtraError: torch is not installed.
    """
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix in {".onnx", ".pt2"}:
        if weights is not None:
            raise UsageError(f"a {suffix} file brings its own weights", todo="leave out --weights")
        return _onnx(path) if suffix == ".onnx" else _program(path)
    if suffix in _TORCH_SUFFIXES:
        if is_torchscript(path):
            raise SourceError(
                "is TorchScript, which torch cannot capture whole again",
                where=text,
                todo=TORCHSCRIPT_TODO,
            )
        raise SourceError(
            "holds weights, or an object that would have to be unpickled, and no module",
            where=text,
            todo="name a factory, package.module:function, and pass the file with --weights",
        )
    if not _FACTORY.fullmatch(text):
        factory = f"{path.stem}:function" if suffix == ".py" else "package.module:function"
        raise SourceError(
            "is no source", where=text, todo=f"name {factory}, a .onnx or a .pt2 file"
        )
    return _module(text, weights)


def _onnx(path: Path) -> OnnxSource:
    try:
        digest = file_digest(path)
    except OSError as error:
        raise SourceError(f"cannot read ({error.strerror})", where=str(path)) from error
    beside = weights_beside(path)
    digests = {"source": digest} | ({"weights": _files_digest(beside)} if beside else {})
    return OnnxSource(name=path.name, path=path, digests=digests)


def weights_beside(path: Path) -> tuple[Path, ...]:
    """Return the files beside an ONNX file that hold weights of it, by name.

    Raises:
        SourceError: One of them is not there.
    """
    onnx = need("onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        if type(error).__name__ != "DecodeError":
            raise
        return ()  # it is refused later, with what it is
    names = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = tuple(path.parent / name for name in sorted(names))
    for file in files:
        if not file.is_file():
            raise SourceError(
                f"its weights are in {file.name}, which is not there",
                where=str(path),
                todo="put it beside the .onnx file",
            )
    return files


def _files_digest(files: Sequence[Path]) -> str:
    told = "".join(f"{file.name}|{file_digest(file)}\n" for file in files)
    return hashlib.sha256(told.encode()).hexdigest()


def _program(path: Path) -> ModuleSource:
    torch = need("torch")
    try:
        digest = file_digest(path)
        with quiet_python():
            program = torch.export.load(path)
    except OSError as error:
        raise SourceError(f"cannot read ({error.strerror or error})", where=str(path)) from error
    except Exception as error:
        raise SourceError(
            "is no exported program that this torch reads",
            where=str(path),
            todo="write it with torch.export.save, with the same torch or an older one",
        ) from error
    check_finite(program.state_dict, str(path))
    return ModuleSource(
        name=path.name,
        module=program.module(),
        digests={"source": digest},
        program=program,
        inputs=_program_inputs(program),
    )


def _program_inputs(program: Any) -> tuple[TensorSpec, ...]:  # noqa: ANN401 (torch)
    """Return the inputs that the user gives; sizes that may vary are names."""
    given = set(program.graph_signature.user_inputs)
    values = {n.name: n.meta["val"] for n in program.graph.nodes if n.name in given}
    return tuple(
        TensorSpec(
            name=name,
            shape=tuple(size if isinstance(size, int) else str(size) for size in value.shape),
            dtype=str(value.dtype).removeprefix("torch."),
        )
        for name, value in values.items()
    )


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
        load_weights(module, weights)
    check_finite(module.state_dict(), str(weights or text))
    module.eval()
    digests = {"source": _code_digest(factory), "weights": _state_digest(module.state_dict())}
    return ModuleSource(name=text, module=module, digests=digests)


def _factory(text: str) -> Callable[[], object]:
    module_name, _, attribute = text.partition(":")
    module = _import(module_name, text)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise SourceError(
            f"{module_name} has no function {attribute}", where=text, todo=_functions_of(module)
        )
    made: Callable[[], object] = factory
    return made


def _functions_of(module: ModuleType) -> str:
    """Return which factories a module has: what it defines itself and can be called."""
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    ]
    public = [name for name in sorted(own) if not name.startswith("_")]
    return f"it has {', '.join(public[:_TOLD])}" if public else "write a function that returns it"


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
        todo = "run from the folder that holds it"
        if name.endswith(".py"):
            todo = f"name it without .py: {text.replace('.py:', ':')}"
        raise SourceError(f"there is no module {error.name}", where=text, todo=todo) from error
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
