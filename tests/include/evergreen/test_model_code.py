"""The modules of a model are found in its folder, and a package that hides it is named."""

from __future__ import annotations

import subprocess
import sys

from evergreen.spec.loading import MODELS_DIR


def test_another_package_named_models_is_named(tmp_path):
    hiding = tmp_path / "models"
    hiding.mkdir()
    (hiding / "__init__.py").write_text("")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(MODELS_DIR.parent)!r}]\n"
        "from evergreen.errors import CandidateError\n"
        "from evergreen.model_code import load_model_code\n"
        "try: load_model_code('flight_delay', 'prepare')\n"
        "except CandidateError as error: print(error)"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert f"another package named models, in {hiding}, hides {MODELS_DIR}" in found.stdout
