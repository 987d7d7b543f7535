"""Which files of a model's folder decide what is prepared and what is fitted."""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from evergreen.errors import CandidateError
from evergreen.spec.loading import SPEC_FILE

#: A module below the folder of all models, such as ``("models", "churn", "prepare")``.
Module = tuple[str, ...]
#: Stands for every module of a package.
ALL = "*"
#: The package that holds every model.
ROOT = "models"
#: Made by Python, not by a person.
CACHES, COMPILED = "__pycache__", (".pyc", ".pyo")
#: A text that may name a module, as for ``importlib.import_module``.
NAMES_MODULE = re.compile(r"(models|\.+\w+)(\.\w+)*", re.ASCII)


def model_files(model: str, *, models_dir: Path) -> list[Path]:
    """
    Return every regular file of the model's folder, sorted; links are followed.

    Caches, hidden files and checkpoints of notebooks are left out, and so is the spec, which has a
    digest of its own.
    """
    folder = models_dir / model
    found, visited = [], set[str]()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a link to a folder above
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if name != CACHES and not name.startswith(".")]
        found += [Path(parent, name) for name in files if _counts(name)]
    return sorted(p for p in found if p != folder / SPEC_FILE and p.is_file())


def prepare_files(model: str, *, models_dir: Path) -> list[Path]:
    """
    Return what decides the examples, sorted: the modules that ``prepare.py`` reaches, and all data.

    A module counts if an import names it, wherever it is written, or a text does. Of the other
    files of the folder each one counts, since a path may be put together while the code runs.

    :raises CandidateError: If one of the modules cannot be read as Python.
    """
    reached: set[Path] = set()
    queue: list[Module] = [(ROOT, model, "prepare")]
    seen = set(queue)
    while queue:
        for path in _files_of(queue.pop(), models_dir):
            if path not in reached:
                reached.add(path)
                new = _imports(path, _stamp(path), models_dir) - seen
                seen |= new
                queue += new
    data = [p for p in model_files(model, models_dir=models_dir) if p.suffix != ".py"]
    return sorted({*reached, *data})


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file; it is read again only if it was written."""
    return _content_digest(path, _stamp(path))


def _counts(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(COMPILED)


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=4096)
def _content_digest(path: Path, stamp: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_of(module: Module, models_dir: Path) -> list[Path]:
    """Return the files that importing *module* runs: its own, and those of the packages above."""
    inner = module[1:]
    packages = [models_dir.joinpath(*inner[:depth]) for depth in range(len(inner) + 1)]
    found = [package / "__init__.py" for package in packages]
    if inner and inner[-1] == ALL:
        found += sorted(packages[-2].glob("*.py"))
    elif inner:
        found.append(packages[-1].with_name(f"{inner[-1]}.py"))
    return [path for path in found if path.is_file()]


@lru_cache(maxsize=4096)
def _imports(path: Path, stamp: tuple[int, ...], models_dir: Path) -> frozenset[Module]:
    """Return every module of the models that the file *path* may import."""
    package = (ROOT, *path.parent.relative_to(models_dir).parts)
    found = set[Module]()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.ImportFrom):
            base = _absolute(package, node.level, node.module or "")
            found |= {base, *((*base, alias.name) for alias in node.names)} if base else set()
        elif isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(_named(package, node.value))
    return frozenset(module for module in found if module[:1] == (ROOT,))


def _named(package: Module, text: str) -> Iterator[Module]:
    """Yield the module that *text* may name."""
    if len(text) <= 200 and NAMES_MODULE.fullmatch(text):
        name = text.lstrip(".")
        if module := _absolute(package, len(text) - len(name), name):
            yield module


def _absolute(package: Module, level: int, name: str) -> Module:
    """Return a module from how it is named in *package*; empty if that is above all packages."""
    if level > len(package):
        return ()
    above = package[: len(package) - level + 1] if level else ()
    return (*above, *filter(None, name.split(".")))


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())  # bytes: a file names its own encoding
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise CandidateError(
            f"{path}{line}: found {type(error).__name__}: {reason}; expected Python that can be "
            "imported. Nothing was prepared. Repair the file, then clear this task."
        ) from None
