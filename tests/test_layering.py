"""A room imports only from rooms below it; docs/architecture.md draws them."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rlrun"
VOCABULARY = ("errors", "annotations", "types", "rng", "files", "protocols")
ROOMS = (  # from the lowest to the highest
    *("numerics", "nn", "compute", "replay", "envs", "agents", "runs", "loop", "pictures", "reports", "sweeps"),
    *("config", "build", "api", "testing", "cli"),
)
DOORS = ("__init__", "__main__")  # what `import rlrun` and `python -m rlrun` open: above all rooms
HEIGHT = dict.fromkeys(VOCABULARY, 0) | {name: height for height, name in enumerate(ROOMS, start=1)}
AGENTS = (
    *("dqn", "reinforce", "actor_critic", "random", "tables.td", "tables.td_control", "linear.linear_q"),
    *("linear.linear_v", "planning.value_iteration", "planning.policy_iteration", "planning.policy_evaluation"),
)
TOPICLESS = {"utils", "util", "base", "common", "helpers", "misc"}
MOST_ENTRIES = 22  # two of them, reports/ and sweeps/, are about many runs and not about one
MARKERS = {"py.typed"}  # which PEP 561 wants at the top


def module_name(path: Path) -> str:
    """`rlrun.nn.trunks`; a package is called by its directory."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str, modules: Mapping[str, object] = SOURCES) -> Iterator[str]:
    """The modules of ours that a source imports, wherever in it that stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "rlrun")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module is not None and node.module.split(".")[0] == "rlrun":
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    door = "rlrun" if alias.name == "__version__" else "rlrun.__init__"
                    yield inside if inside in modules else door if node.module == "rlrun" else node.module


def room(module: str) -> str:
    """What stands below `rlrun` in the name of a module."""
    return module.split(".")[1] if "." in module else "__init__"


def violations(owner: str, source: str) -> list[str]:
    """Imports from rooms that are not below the one in which `owner` lies."""
    found = []
    for module in imported(source):
        if module == "rlrun":  # its version, or where it lies
            continue
        needs = room(module)
        if needs not in HEIGHT:
            found.append(f"{owner} imports {module}, which lies in no room")
        elif HEIGHT[needs] > HEIGHT[owner] or (HEIGHT[needs] == HEIGHT[owner] > 0 and needs != owner):
            found.append(f"{owner} imports {module}, which lies above it")
    return found


def identifiers(source: str) -> set[str]:
    """Every identifier of a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


@pytest.mark.parametrize("module", [name for name in SOURCES if room(name) not in DOORS])
def test_imports_go_down(module: str) -> None:
    assert room(module) in HEIGHT, f"{room(module)} is no room: name it here and in docs/architecture.md"
    assert violations(room(module), SOURCES[module].read_text()) == []


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]
        return names
    return []


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = {name: set(imported(path.read_text())) & set(SOURCES) - {"rlrun"} for name, path in SOURCES.items()}
    assert circle(graph) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_the_top_can_be_taken_in_at_a_glance() -> None:
    entries = {path.name for path in PACKAGE.iterdir() if not path.name.startswith("_")} - MARKERS
    assert {name.removesuffix(".py") for name in entries} == set(HEIGHT)
    assert len(entries) <= MOST_ENTRIES


def test_every_room_says_what_lives_there() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_agents_do_not_know_one_another() -> None:
    for name in AGENTS:
        others = {f"rlrun.agents.{other}" for other in AGENTS if other != name}
        assert not others & set(imported(SOURCES[f"rlrun.agents.{name}"].read_text()))


@pytest.mark.parametrize("module", SOURCES)
def test_names_have_a_topic_and_ends_have_two_facts(module: str) -> None:
    assert not TOPICLESS & set(module.split("."))
    found = identifiers(SOURCES[module].read_text())
    assert "done" not in found
    if room(module) != "envs":
        assert not {"terminated", "truncated", "terminations", "truncations"} & found


@pytest.mark.parametrize(
    ("owner", "source"),
    [
        ("rng", "from rlrun.numerics.returns import gae"),
        ("numerics", "import rlrun.nn.networks"),
        ("replay", "def f():\n    from rlrun.loop.collect import Collector"),
        ("runs", "from rlrun.loop.loop import train"),
        ("loop", "from rlrun import build"),
        ("agents", "from rlrun.nowhere import thing"),
        ("numerics", "from rlrun import train"),
        ("replay", "from rlrun.envs import cartpole"),
    ],
)
def test_the_check_can_fail(owner: str, source: str) -> None:
    assert violations(owner, source)
