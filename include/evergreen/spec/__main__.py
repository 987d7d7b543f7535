"""``python -m evergreen.spec``: print the JSON Schema of a spec, for editors."""

from __future__ import annotations

import json
import sys

from evergreen.spec import ModelSpec

sys.stdout.write(json.dumps(ModelSpec.model_json_schema(), indent=1, ensure_ascii=False) + "\n")
