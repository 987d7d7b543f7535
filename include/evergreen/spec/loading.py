"""Find specs on disk, and say of each file what is wrong with it."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from evergreen.errors import SpecError
from evergreen.spec.explaining import explain
from evergreen.spec.formatting import ERROR_CHARS, Fault, printable, shortened, shown
from evergreen.spec.model import MODEL_NAME, ModelSpec
from evergreen.spec.reading import parse, read_text

MODELS_DIR = Path(__file__).parents[2] / "models"
SPEC_FILE = "model.yaml"
#: How many models an error lists if the named one does not exist.
LISTED = 20


class _UnreadableError(SpecError):
    """A file that could not be read now; perhaps it can be read a moment later."""


def load_spec(name: str, *, models_dir: Path = MODELS_DIR) -> ModelSpec:
    """
    Read and check ``<models_dir>/<name>/model.yaml``.

    The file is not trusted: whatever is in it, the answer is a spec or a SpecError, soon.

    :raises SpecError: If the file is missing, cannot be read, is too large, is not valid YAML, has
        a wrong, unknown or repeated key, describes another model, or asks for something this
        release does not do.
    """
    path = models_dir / name / SPEC_FILE
    try:
        return _spec_in(path, name)
    except SpecError:
        raise
    except Fault as failure:
        raise SpecError(_message_of(path, failure)) from None
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _unreadable(path, error) from error
        known, _ = _folders(models_dir)
        listed = ", ".join([*known[:LISTED], *["..."][: len(known) > LISTED]]) or "none"
        raise _UnreadableError(
            f"No spec at {printable(str(path))}. Known models: {printable(listed)}."
        ) from None
    except Exception as error:
        raise _unreadable(path, error) from error


def find_specs(models_dir: Path = MODELS_DIR) -> tuple[list[ModelSpec], list[SpecError]]:
    """Return every valid spec and the error of every other one: one bad file hides no model."""
    specs: list[ModelSpec] = []
    names, errors = _folders(models_dir)
    for name in names:
        try:
            found = _read(name, models_dir, _stamp(models_dir / name / SPEC_FILE))
        except SpecError as error:
            found = error
        if isinstance(found, SpecError):
            errors.append(found)
        else:
            specs.append(found)
    return specs, errors


@lru_cache(maxsize=1024)
def _read(name: str, models_dir: Path, stamp: tuple[int, ...] | None) -> ModelSpec | SpecError:
    """Read a spec once per writing: servers and pages ask again and again."""
    try:
        return load_spec(name, models_dir=models_dir)
    except _UnreadableError:
        raise  # not kept: the next try may succeed
    except SpecError as error:
        return error


def _spec_in(path: Path, name: str) -> ModelSpec:
    if not re.fullmatch(MODEL_NAME, name):
        raise Fault(
            f"found the folder {shown(name)}; expected lower-case letters, digits and underscores, "
            "first a letter, at most 63 characters. Rename the folder"
        )
    content, lines = parse(read_text(path))
    if not isinstance(content, dict):
        raise Fault(f"found {shown(content)}; expected keys with values, such as model: {name}")
    try:
        spec = ModelSpec.model_validate(content)
    except ValidationError as error:
        failures = explain(error.errors(), lines, ModelSpec)
        raise SpecError("\n".join(_message_of(path, failure) for failure in failures)) from None
    if spec.model != name:
        raise Fault(
            f"found {spec.model!r}, expected the folder's name {name!r}. Rename one of them",
            ("model",),
            lines.get(("model",)),
        )
    return spec


def _message_of(path: Path, failure: Fault) -> str:
    return f"{printable(str(path))}: {failure}"


def _unreadable(path: Path, error: Exception) -> SpecError:
    """Return the error for what no check foresaw."""
    detail = shortened(f"{type(error).__name__}: {error}", ERROR_CHARS)
    return _UnreadableError(
        f"{printable(str(path))}: (whole file): cannot be read: {detail}. Make it a file that this "
        "user can read, and compare it with the spec of another model."
    )


def _folders(models_dir: Path) -> tuple[list[str], list[SpecError]]:
    """Return the folders with a spec in them, and an error if they cannot be listed."""
    try:
        names = os.listdir(models_dir)  # noqa: PTH208 - names that are no UTF-8 stay names
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [_unreadable(models_dir, error)]
    return sorted(name for name in names if _has_spec(models_dir / name)), []


def _has_spec(folder: Path) -> bool:
    """Return whether *folder* should be a model's: a link to nothing is an error to show."""
    try:
        (folder / SPEC_FILE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
