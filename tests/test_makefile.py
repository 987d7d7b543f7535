"""What ``make`` gives to everything it starts."""

from __future__ import annotations

import os
import subprocess

from tests.conftest import ROOT


def test_compiled_bytecode_is_kept_whatever_the_caller_says():
    said = ["make", "--silent", "--eval", 'ask:; @echo "[$$PYTHONDONTWRITEBYTECODE]"', "ask"]
    environ = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(said, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
