"""Which change of a model's folder is noticed, for folders that are written here and generated."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.digests import code_digest, prepare_digest
from evergreen.errors import CandidateError
from evergreen.model_files import model_files, prepare_files

#: Folders that are generated, each with some 12 files of which every one is changed.
FOLDERS = 150


def write(models_dir: Path, **files: str | bytes) -> None:
    """Write files of the model m; ``__`` in a name is a slash."""
    for name, content in files.items():
        at = models_dir / "m" / name
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content if isinstance(content, bytes) else content.encode())


def reached(models_dir: Path) -> set[str]:
    found = prepare_files("m", models_dir=models_dir)
    return {path.relative_to(models_dir).as_posix() for path in found}


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from models.m.sub.x import y", "m/sub/x.py"),
        ("import models.m.sub.x", "m/sub/x.py"),
        ("import models.m.sub.x as other", "m/sub/x.py"),
        ("from models.m.sub import x", "m/sub/x.py"),
        ("from models.m import sub", "m/sub/__init__.py"),
        ("from .sub.x import y", "m/sub/x.py"),
        ("from .sub import x", "m/sub/x.py"),
        ("from .sub import *", "m/sub/x.py"),
        ("from . import sub", "m/sub/__init__.py"),
        ("from .clean import y", "m/clean.py"),
        ("from models.other.shared import y", "other/shared.py"),
        ("from ..other import shared", "other/shared.py"),
        ("def f():\n    from .sub import x", "m/sub/x.py"),
        ("import importlib\nimportlib.import_module('models.m.sub.x')", "m/sub/x.py"),
        ("import importlib\nimportlib.import_module('.sub.x', __package__)", "m/sub/x.py"),
        ("if 1:\n    import models.m.sub.deep.y", "m/sub/deep/y.py"),
    ],
)
def test_a_module_that_is_imported_counts(tmp_path, line, module):
    for name in ("sub/__init__", "sub/x", "clean", "sub/deep/y"):
        write(tmp_path, **{f"{name}.py": "y = 1\n"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other/shared.py").write_text("y = 1\n")
    write(tmp_path, **{"prepare.py": line})
    before = prepare_digest("m", models_dir=tmp_path)

    (tmp_path / module).write_text("y = 2  # changed\n")

    assert module in reached(tmp_path)
    assert prepare_digest("m", models_dir=tmp_path) != before


def test_what_an_imported_module_imports_counts_too(tmp_path):
    write(
        tmp_path,
        **{
            "prepare.py": "from .sub import x",
            "sub/__init__.py": "from .. import a",
            "sub/x.py": "from .y import z",
            "sub/y.py": "from ..b import c",
            "a.py": "from . import prepare",  # a circle ends
            "b.py": "import models.m.gone",
            "pipeline.py": "from . import only_fit",
            "only_fit.py": "",
        },
    )

    assert reached(tmp_path) == {
        f"m/{name}.py" for name in ("prepare", "sub/__init__", "sub/x", "sub/y", "a", "b")
    }


@pytest.mark.parametrize("name", ["lookup.csv", "sub/table.parquet", "words", "sub/deep/x.json"])
def test_a_data_file_counts_for_both_digests(tmp_path, name):
    write(tmp_path, **{"prepare.py": "", name: "1"})
    before = prepare_digest("m", models_dir=tmp_path), code_digest("m", models_dir=tmp_path)

    write(tmp_path, **{name: "2, changed"})

    after = prepare_digest("m", models_dir=tmp_path), code_digest("m", models_dir=tmp_path)
    assert all(one != other for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "name",
    [
        "__pycache__/prepare.cpython-312.pyc",
        "sub/__pycache__/x.py",
        "old.pyc",
        ".hidden",
        ".git/HEAD",
        ".ipynb_checkpoints/a-checkpoint.ipynb",
        "sub/.DS_Store",
        "model.yaml",
    ],
)
def test_what_no_person_wrote_for_the_model_does_not_count(tmp_path, name):
    write(tmp_path, **{"prepare.py": ""})
    before = prepare_digest("m", models_dir=tmp_path), code_digest("m", models_dir=tmp_path)

    write(tmp_path, **{name: "x"})

    assert before == (
        prepare_digest("m", models_dir=tmp_path),
        code_digest("m", models_dir=tmp_path),
    )


def test_links_are_followed_and_a_circle_of_them_ends(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "table.csv").write_text("1")
    models = tmp_path / "models"
    write(models, **{"prepare.py": ""})
    (models / "m/data").symlink_to(outside)
    (models / "m/again").symlink_to(models / "m")
    (models / "m/nothing").symlink_to(tmp_path / "gone")
    os.mkfifo(models / "m/pipe")

    found = [p.relative_to(models).as_posix() for p in model_files("m", models_dir=models)]

    assert found == ["m/data/table.csv", "m/prepare.py"]


def test_a_source_in_its_own_encoding_is_read(tmp_path):
    line = "# -*- coding: latin-1 -*-\nname = 'é'\nfrom . import a\n"
    write(tmp_path, **{"prepare.py": line.encode("latin-1"), "a.py": ""})

    assert reached(tmp_path) == {"m/prepare.py", "m/a.py"}


@pytest.mark.parametrize(
    "source",
    [b"def f(:", b"x = 1\0", b"x = '\xe9'", b"x=" + b"(" * 5000 + b"1" + b")" * 5000],
)
@pytest.mark.parametrize("name", ["prepare.py", "clean.py"])
def test_a_module_that_is_no_python_is_the_models_fault(tmp_path, name, source):
    write(tmp_path, **{"prepare.py": "from . import clean", "clean.py": ""})
    write(tmp_path, **{name: source})

    with pytest.raises(CandidateError, match=rf"m/{name}.*Repair the file, then clear this task"):
        prepare_digest("m", models_dir=tmp_path)


def test_a_folder_without_prepare_has_a_digest_as_well(tmp_path):
    write(tmp_path, **{"pipeline.py": "def f(:"})

    assert prepare_digest("m", models_dir=tmp_path)
    assert code_digest("m", models_dir=tmp_path)


MODULES = [
    "prepare",
    "pipeline",
    "a",
    "b",
    "sub/__init__",
    "sub/c",
    "sub/deep/__init__",
    "sub/deep/d",
]
DATA = ["lookup.csv", "sub/table.bin", "sub/deep/notes.md", "sub/x"]
FORMS = ["absolute", "relative", "from", "text", "inside"]


def dotted(module: str) -> list[str]:
    return module.removesuffix("/__init__").split("/")


def import_line(source: str, target: str, form: str) -> str:
    """Return a line of *source* that imports *target*."""
    parts = dotted(target)
    ups = "." * len(source.split("/"))
    return {
        "absolute": f"import models.m.{'.'.join(parts)}\n",
        "relative": f"from {ups}{'.'.join(parts[:-1])} import {parts[-1]}\n",
        "from": f"from models.m.{'.'.join(parts)} import something\n",
        "text": f"NAME = 'models.m.{'.'.join(parts)}'\n",
        "inside": f"def f():\n    import models.m.{'.'.join(parts)} as other\n",
    }[form]


@st.composite
def folders(draw):
    """Draw a folder: its modules with what each imports, and its data files."""
    modules = [m for m in MODULES if m == "prepare" or draw(st.booleans())]
    edges = {
        source: draw(
            st.lists(st.tuples(st.sampled_from(modules), st.sampled_from(FORMS)), max_size=3)
        )
        for source in modules
    }
    return edges, [name for name in DATA if draw(st.booleans())]


def expected(edges: dict[str, list[tuple[str, str]]]) -> set[str]:
    """Return the modules that importing ``prepare`` runs, from the edges alone."""
    found, queue = set(), ["prepare"]
    while queue:
        module = queue.pop()
        if module in edges and module not in found:
            found.add(module)
            parents = module.split("/")[:-1]
            queue += ["/".join([*parents[:n], "__init__"]) for n in range(1, len(parents) + 1)]
            queue += [target for target, _ in edges[module]]
    return found


@settings(
    max_examples=FOLDERS, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(folders())
def test_of_any_folder_exactly_what_decides_is_noticed(folder):
    edges, data = folder
    with tempfile.TemporaryDirectory() as at:
        models = Path(at)
        for source, imports in edges.items():
            lines = [import_line(source, target, form) for target, form in imports]
            write(models, **{f"{source}.py": "".join(lines)})
        write(models, **dict.fromkeys(data, "1"))
        counts = {f"{name}.py" for name in expected(edges)} | set(data)
        prepare, code = (f("m", models_dir=models) for f in (prepare_digest, code_digest))
        assert prepare == prepare_digest("m", models_dir=models)

        for name in [*(f"{module}.py" for module in edges), *data]:
            path = models / "m" / name
            before = path.read_bytes()
            path.write_bytes(before + b"\n# changed\n")
            assert (prepare_digest("m", models_dir=models) != prepare) is (name in counts), name
            assert code_digest("m", models_dir=models) != code
            path.write_bytes(before)

        assert prepare_digest("m", models_dir=models) == prepare
        assert code_digest("m", models_dir=models) == code
