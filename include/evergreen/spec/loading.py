"""Read a spec from disk and explain what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from evergreen.errors import SpecError
from evergreen.spec.model import ModelSpec

MODELS_DIR = Path(__file__).parents[2] / "models"
SPEC_FILE = "model.yaml"


def load_spec(name: str, *, models_dir: Path = MODELS_DIR) -> ModelSpec:
    """
    Read and check ``<models_dir>/<name>/model.yaml``.

    :raises SpecError: If the file is missing, is not valid YAML, has a wrong, unknown or repeated
        key, describes another model, or asks for something this release does not do.
    """
    path = models_dir / name / SPEC_FILE
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506
        spec = ModelSpec.model_validate(content)
    except FileNotFoundError:
        known = ", ".join(_folders(models_dir)) or "none"
        raise SpecError(f"No spec at {path}. Known models: {known}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid YAML.\n  {error}") from error
    except ValidationError as error:
        raise SpecError("\n".join(_explain(path, error.errors()))) from error
    if spec.model != name:
        raise SpecError(
            f"{path}: model: found {spec.model!r}, expected the folder's name {name!r}."
        )
    return spec


def find_specs(models_dir: Path = MODELS_DIR) -> tuple[list[ModelSpec], list[SpecError]]:
    """Return every valid spec and the error of every other one: one bad file hides no model."""
    specs: list[ModelSpec] = []
    errors: list[SpecError] = []
    for name in _folders(models_dir):
        written = (models_dir / name / SPEC_FILE).stat().st_mtime_ns
        found = _read(name, models_dir, written)
        if isinstance(found, SpecError):
            errors.append(found)
        else:
            specs.append(found)
    return specs, errors


@lru_cache(maxsize=1024)
def _read(name: str, models_dir: Path, written: int) -> ModelSpec | SpecError:
    """Read a spec once per writing: servers and pages ask again and again."""
    try:
        return load_spec(name, models_dir=models_dir)
    except SpecError as error:
        return error


def _folders(models_dir: Path) -> list[str]:
    return sorted(path.parent.name for path in models_dir.glob(f"*/{SPEC_FILE}"))


def _explain(path: Path, errors: Iterable[ErrorDetails]) -> Iterable[str]:
    for error in errors:
        location = error["loc"]
        key = ".".join(str(part) for part in location) or "(whole file)"
        if error["type"] == "extra_forbidden":
            yield f"{path}: {key}: unknown key{_remedy(location)}"
        elif error["type"] == "missing":
            yield f"{path}: {key}: missing; add it."
        elif error["type"] == "value_error":
            yield f"{path}: {key}: {error['msg'].removeprefix('Value error, ')}."
        else:
            yield f"{path}: {key}: found {error['input']!r}; {error['msg']}."


def _remedy(location: tuple[int | str, ...]) -> str:
    known = sorted(_fields_at(location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}." if known else "; remove it."


def _fields_at(location: tuple[int | str, ...]) -> set[str]:
    """Return the keys the spec knows at *location*, by walking its JSON Schema."""
    root = ModelSpec.model_json_schema()
    at = root
    for part in location:
        at = _resolve(at, root)
        at = at.get("properties", {}).get(part) or at.get("additionalProperties") or {}
    return set(_resolve(at, root).get("properties", {}))


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    for choice in schema.get("anyOf", [schema]):
        if "$ref" in choice:
            found: dict[str, Any] = root["$defs"][choice["$ref"].rpartition("/")[2]]
            return found
    return schema


class _StrictLoader(yaml.CSafeLoader):
    """A safe loader that refuses a key given twice, where YAML would keep the last silently."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    pairs: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in pairs:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key!r} is given twice; keep one of them",
                problem_mark=key_node.start_mark,
            )
        pairs[key] = loader.construct_object(value_node, deep=True)
    return pairs


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
