"""What `from rlrun import ...` gives is listed in docs/plugins.md, and enough for agents and environments of others."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rlrun

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "plugins.md"
PUBLIC = {"rlrun", "rlrun.testing"}
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def listed() -> list[str]:
    """The names in the table of docs/plugins.md, in its order."""
    rows = re.findall(r"^\| [^|]*\| (`.*`) \|$", PAGE.read_text().partition("## Public names")[2], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_the_list_in_the_docs_is_exact() -> None:
    assert sorted(listed()) == sorted(rlrun.public_names())


def test_every_name_is_there_and_no_other() -> None:
    for name in listed():
        assert getattr(rlrun, name) is not None
    with pytest.raises(AttributeError):
        rlrun.__getattr__("nonsense")
    assert set(listed()) <= set(dir(rlrun))


def test_a_star_gives_the_same_names() -> None:
    names: dict[str, object] = {}
    exec("from rlrun import *", names)
    assert set(names) - {"__builtins__"} == set(listed())


def sources() -> dict[str, str]:
    """Programs that others are to imitate."""
    pages = {
        f"{PAGE.name} {number}": text
        for number, text in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    }
    return pages | {str(path.relative_to(ROOT)): path.read_text() for path in EXAMPLES}


@pytest.mark.parametrize("name", sources())
def test_plugins_need_nothing_else(name: str) -> None:
    for node in ast.walk(ast.parse(sources()[name])):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert {module for module in modules if module.partition(".")[0] == "rlrun"} <= PUBLIC


def test_an_annotation_is_there_without_torch() -> None:
    code = "import sys; from rlrun import UserError, used_when; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
