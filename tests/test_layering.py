"""A module imports only from lower floors (docs/architecture.md has the table)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rlrun"

FLOORS = {
    0: {
        "types",
        "tree",
        "rng",
        "errors",
        "finite",
        "annotations",
        "text_file",
        "plain_values",
        "ring",
        "atomic_file",
        "metrics_row",
        "patient_output",
    },
    1: {"protocols", "schedules", "returns", "losses", "distributions", "bellman", "tabular_updates", "legality"}
    | {
        "state_file",
        "state_comparison",
        "row_tail",
        "row_comparison",
        "run_lock",
        "episode_log",
        "execution",
        "event_file",
        "allocator",
        "cores",
        "type_words",
    },
    2: {"nn", "replay", "envs", "loggers", "checkpoint", "progress", "device", "episode_meter", "interruption"}
    | {"policies", "features", "pictures", "manifest", "episode_recorder", "upload", "tied_actions"},
    3: {"agents", "collect", "evaluate", "course", "run_directory", "films"},
    4: {"training", "table_pictures", "run_summary", "testing"},
    5: {"schema", "constructors", "type_fit", "config_files", "composition", "config", "build", "plugins"}
    | {"catalogue", "catalogue_writer", "docstrings", "units", "provenance", "config_keys", "suggestions"}
    | {"problem_report", "launching", "hydra_settings", "repeated_words"}
    | {"added_files", "chosen_files", "chosen_options", "checked_config", "hydra_words"}
    | {"unused_keys", "named_files", "text_keys", "memory_need", "later_keys"},
    6: {"help_page", "completion", "cli", "__main__", "running", "manifest_config", "verbs", "notebook", "explanation"}
    | {"sweep_outcomes"},
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
TOPICLESS = {"utils", "util", "base", "common", "helpers", "misc"}


def module_names(path: Path) -> list[str]:
    return list(path.relative_to(PACKAGE).with_suffix("").parts)


def imported(tree: ast.AST) -> set[str]:
    """The first name below `rlrun` of every import, wherever in the module it stands."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("rlrun.")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rlrun":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names - {"__version__"}


# Floors whose modules make up one thing together and may know one another.
ONE_STAGE = {0, 5, 6}


def violations(owner: str, source: str) -> list[str]:
    floor = FLOOR[owner]
    found = []
    for name in sorted(imported(ast.parse(source)) - {owner}):
        needs = FLOOR.get(name)
        if needs is None:
            found.append(f"{owner} imports {name}, which has no floor")
        elif needs > floor or (needs == floor and floor not in ONE_STAGE):
            found.append(f"{owner} (floor {floor}) imports {name} (floor {needs})")
    return found


def words(tree: ast.AST) -> set[str]:
    """Every identifier of a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
FLOORED = [path for path in SOURCES if module_names(path)[0] != "testing"]


@pytest.mark.parametrize("path", FLOORED, ids=lambda path: "/".join(module_names(path)))
def test_imports_go_down(path: Path) -> None:
    owner = module_names(path)[0]
    assert owner in FLOOR, f"{owner} has no floor: give it one here and in docs/architecture.md"
    assert violations(owner, path.read_text()) == []


def test_agents_do_not_know_one_another() -> None:
    agents = {"dqn", "reinforce", "actor_critic", "random"}
    for path in (PACKAGE / "agents").glob("*.py"):
        others = agents - {path.stem}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.rpartition(".")[2] not in others, f"{path.name} imports {node.module}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(module_names(path)))
def test_names_have_a_topic_and_ends_have_two_facts(path: Path) -> None:
    assert not TOPICLESS & set(module_names(path))
    found = words(ast.parse(path.read_text()))
    assert "done" not in found
    if module_names(path)[0] != "envs":
        assert not {"terminated", "truncated", "terminations", "truncations"} & found


@pytest.mark.parametrize(
    ("owner", "source"),
    [
        ("rng", "from rlrun.numerics.returns import gae"),
        ("losses", "import rlrun.nn.networks"),
        ("replay", "def f():\n    from rlrun.loop.collect import Collector"),
        ("collect", "from rlrun.loop.loop import train"),
        ("training", "from rlrun import build"),
        ("agents", "from rlrun.nowhere import thing"),
        ("replay", "from rlrun.nn import networks"),
    ],
)
def test_the_check_can_fail(owner: str, source: str) -> None:
    assert violations(owner, source)
