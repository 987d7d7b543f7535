"""Import the user's modules of a model: ``prepare.py`` and ``pipeline.py``."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from evergreen.errors import CandidateError
from evergreen.spec.loading import MODELS_DIR


def load_model_code(model: str, name: str) -> ModuleType:
    """
    Return the module *name* of *model*.

    :raises CandidateError: If another package of the name ``models`` hides the folder.
    :raises Exception: Whatever the import of the user's code raises.
    """
    try:
        return importlib.import_module(f"models.{model}.{name}")
    except ModuleNotFoundError as error:
        found = [str(path) for path in getattr(sys.modules.get("models"), "__path__", ())]
        if error.name != f"models.{model}" or str(MODELS_DIR) in found:
            raise
        raise CandidateError(
            f"include/models/{model}/{name}.py cannot be imported: another package named models, "
            f"in {', '.join(found) or 'an unknown place'}, hides {MODELS_DIR}. Rename or remove "
            "that package, or put include first on PYTHONPATH."
        ) from error
