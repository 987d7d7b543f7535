"""
Pages name only what exists: links, headings, files, tests, make targets and commands.

A page is README.md or any Markdown file below docs/. The rules read its links and what it has in
backticks and fences:

* A relative link leads to a file of the repository, and its ``#anchor`` to a heading of that page.
* A word in backticks is a path if it has a slash and begins with a folder of the repository, or
  ends like a source file. ``<name>`` and ``{name}`` stand for anything, ``*`` is a glob; at least
  one file must match. Keys of the object store (their first part is a kind of the layout, or
  ``raw``) and addresses (they begin with a slash or have a scheme) are no paths.
* ``New file `path`:`` names a file that the reader makes.
* ``test_...`` in backticks is a test function, or with ``.py`` a file, below tests/.
* ``make target`` and ``python -m evergreen... command`` exist.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from evergreen import cli
from evergreen.storage import layout
from evergreen_airflow import cli as airflow_cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
INDEX = ROOT / "docs" / "index.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
MAX_README_LINES = 120

FOLDERS = {"dags", "docs", "include", "plugins", "tests", ".ci", ".github"}
EXTENSIONS = {".csv", ".j2", ".md", ".png", ".py", ".sh", ".toml", ".yaml", ".yml"}
KEY_KINDS = {*layout.KINDS, "raw"}

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_NEW_FILE = re.compile(r"^New file `[^`]+`:$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"<[^>]*>|\{[^}]*\}|\.\.\.$")
_PATH = re.compile(r"[\w.*/-]+")
_TEST = re.compile(r"(test_\w+)(\.py)?(\[.*)?")
_MAKE = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
_COMMAND = re.compile(r"python -m (evergreen(?:_airflow)?) ([a-z][a-z-]*)")
_DOCS_PAGE = re.compile(r"\bdocs/[\w/.-]+\.(?:md|json|png)")


def problems(page: Path, *, root: Path) -> list[str]:
    """Return everything that *page* names and that is not there."""
    text = page.read_text()
    prose = _NEW_FILE.sub("", _FENCE.sub("", text))
    spans = _CODE.findall(prose)
    words = [word for span in spans for word in span.split()]
    code = "\n".join([*spans, *_FENCE.findall(text)])
    return [
        *_broken_links(prose, page, root),
        *_missing_paths(words, root),
        *_missing_tests(words),
        *(f"make {name}" for name in _MAKE.findall(code) if name not in make_targets()),
        *(
            f"python -m {module} {name}"
            for module, name in _COMMAND.findall(code)
            if name not in commands()[module]
        ),
    ]


def _broken_links(prose: str, page: Path, root: Path) -> Iterator[str]:
    for link in _LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page.resolve()
        is_inside = file.is_relative_to(root.resolve())
        if not is_inside or not file.exists() or (anchor and anchor not in anchors(file)):
            yield link


def _missing_paths(words: list[str], root: Path) -> Iterator[str]:
    for word in words:
        path = _PLACEHOLDER.sub("*", word.rstrip(".,;:"))
        if _is_path(path) and not any(root.glob(path.rstrip("/"))):
            yield word


def _is_path(word: str) -> bool:
    first, slash, _ = word.partition("/")
    is_source = Path(word).suffix in EXTENSIONS and first not in KEY_KINDS
    return bool(_PATH.fullmatch(word) and first and slash) and (first in FOLDERS or is_source)


def _missing_tests(words: list[str]) -> Iterator[str]:
    functions, files = known_tests()
    for word in words:
        if found := _TEST.fullmatch(word):
            name, extension, _ = found.groups()
            if name not in (files if extension else functions):
                yield word


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of *page*, as GitHub makes them."""
    found: Counter[str] = Counter()
    names = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text())):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        names.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return names


@cache
def known_tests() -> tuple[set[str], set[str]]:
    """Return the names of all test functions, and of all test files without their ending."""
    files = list((ROOT / "tests").rglob("*.py"))
    functions = {
        name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())
    }
    return functions, {file.stem for file in files}


@cache
def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))


@cache
def commands() -> dict[str, set[str]]:
    """Return the sub-commands of each module that is started with ``python -m``."""
    apps = {"evergreen": cli.app, "evergreen_airflow": airflow_cli.app}
    return {name: set(typer.main.get_command(app).commands) for name, app in apps.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_what_exists(page):
    assert problems(page, root=ROOT) == []


def test_the_readme_can_be_read_in_one_go():
    assert len(README.read_text().splitlines()) <= MAX_README_LINES


def test_the_index_links_every_page_once():
    links = Counter(_LINK.findall(INDEX.read_text()))
    pages = {str(page.relative_to(INDEX.parent)) for page in PAGES if page not in (README, INDEX)}

    assert {page: links[page] for page in sorted(pages) if links[page] != 1} == {}


def test_the_page_of_the_store_names_every_kind():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "store.md").read_text(), re.MULTILINE)

    assert sorted(rows) == sorted(layout.KINDS)


def test_code_names_only_pages_that_exist():
    """Docstrings and error messages send people to pages."""
    missing = {
        str(file.relative_to(ROOT)): page
        for folder in ("dags", "include", "plugins", "tests")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".yaml", ".yml", ".j2"} and file != Path(__file__)
        for page in _DOCS_PAGE.findall(file.read_text())
        if not (ROOT / page).exists()
    }

    assert missing == {}


def test_make_help_lists_every_target():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert set(re.findall(r"^  make (\S+) ", shown.stdout, re.MULTILINE)) == make_targets()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "include" / "models" / "churn").mkdir(parents=True)
    (tmp_path / "include" / "models" / "churn" / "prepare.py").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Other\n## More rows, than memory\n## Other\n")
    return tmp_path


def problems_of(text: str, repository: Path) -> list[str]:
    page = repository / "docs" / "page.md"
    page.write_text(text)
    return problems(page, root=repository)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](wrong.md)", "wrong.md"),
        ("![a](pictures/wrong.png)", "pictures/wrong.png"),
        ("[a](other.md#wrong)", "other.md#wrong"),
        ("[a](#wrong)", "#wrong"),
        ("[outside](../../other.md)", "../../other.md"),
        ("`include/wrong/`", "include/wrong/"),
        ("`plugins/evergreen_airflow/wrong.py`", "plugins/evergreen_airflow/wrong.py"),
        ("`pytest tests/test_wrong.py`", "tests/test_wrong.py"),
        ("`evergreen/wrong.py`", "evergreen/wrong.py"),
        ("`include/models/<name>/wrong.py`", "include/models/<name>/wrong.py"),
        ("In the new file `include/wrong.py`:", "include/wrong.py"),
        ("`include/*/wrong*.py`", "include/*/wrong*.py"),
        ("`test_no_such_promise`", "test_no_such_promise"),
        ("`test_no_such_file.py`", "test_no_such_file.py"),
        ("`make wrong`", "make wrong"),
        ("```sh\nmake help && make wrong\n```", "make wrong"),
        ("`python -m evergreen wrong`", "python -m evergreen wrong"),
        ("`python -m evergreen up`", "python -m evergreen up"),
        ("```\npython -m evergreen_airflow wrong\n```", "python -m evergreen_airflow wrong"),
    ],
)
def test_what_does_not_exist_is_found(text, found, repository):
    assert problems_of(text, repository) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "[a](other.md#more-rows-than-memory), [b](other.md#other-1), [c](https://example.org/x)",
        "# A page\n[a](#a-page) `include/models/`, `include/models/churn/prepare.py`",
        "`include/models/<name>/prepare.py`, `include/**/*.py`, `include/models/{name}`",
        "keys: `raw/flights/{day}.parquet`, `ledger/<model>/00000001.json`, `quality/x.csv`",
        "addresses: `/v2/health/ready.md`, `s3://bucket/prefix.yaml`; names: `model.yaml`, `a/b`",
        "`test_docs.py`, `test_what_does_not_exist_is_found[a-b]`",
        "New file `include/models/churn/pipeline.py`:\n```python\npass\n```",
        "make no sense; `make help`, `make test`, `make doctor STORE=s3://...`",
        "`python -m evergreen serve`, `python -m evergreen_airflow --help`",
        "```sh\n[a](wrong.md) include/wrong.py\n```",
    ],
)
def test_what_exists_or_is_no_name_passes(text, repository):
    assert problems_of(text, repository) == []
