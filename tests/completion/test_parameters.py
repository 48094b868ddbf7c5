from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rlrun.cli.completion import parameters as module
from rlrun.cli.completion.parameters import Parameter, parameters
from rlrun.config.catalogue import target, target_names


@pytest.mark.parametrize("name", target_names())
def test_the_catalogue_is_read_in_full(name: str) -> None:
    known = target(name)
    assert known is not None
    ours = parameters(name)
    assert list(ours) == list(known.parameters)
    for key, parameter in known.parameters.items():
        assert ours[key].meaning == parameter.meaning
        assert ours[key].nullable == bool(parameter.entry["nullable"])
        if parameter.entry["choices"]:
            assert list(ours[key].choices) == parameter.entry["choices"]


@pytest.mark.parametrize("name", target_names())
def test_the_source_tells_what_the_catalogue_tells(name: str) -> None:
    """Users' classes are read from their source; ours are known both ways, so they show whether that is right.

    Names of bundled files are not: to know them is to call what lists them.
    """
    read = module._from_source(name)
    for key, parameter in parameters(name).items():
        found = read[key]
        known = target(name)
        assert known is not None
        names = known.parameters[key].entry.get("names", ())
        told = tuple(choice for choice in parameter.choices if choice not in names)
        assert (found.choices, found.nullable, found.file) == (told, parameter.nullable, parameter.file), key


def test_a_class_of_somebody_else_is_understood_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "far_away"
    package.mkdir()
    (package / "__init__.py").write_text("from far_away.agent import Agent as Renamed\nraise RuntimeError('was run')\n")
    (package / "heir.py").write_text(
        "from .agent import Agent as Base\nclass Heir(Base):\n    more: 'Loss'\nfrom .words import Loss\n"
    )
    (package / "words.py").write_text("from typing import Literal\nLoss = Literal['huber', 'squared']\n")
    (package / "agent.py").write_text(
        "import typing as t\nfrom pathlib import Path\nfrom typing import Annotated, Literal, Optional\n"
        "from rlrun.annotations import FILE\nfrom far_away.words import Loss\n"
        "class Agent:\n"
        "    def __init__(self, spec, *, loss: Loss, mode: 'Literal[\"a\", 3, None]', on: bool,\n"
        "                 maybe: Optional[bool],\n"
        "                 both: t.Literal['x'] | None, where: Path, map: Annotated[str, FILE],\n"
        "                 odd: list[int], bare): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parameters("far_away.Renamed") == {
        "spec": Parameter(),
        "loss": Parameter(("huber", "squared")),
        "mode": Parameter(("a", "3"), nullable=True),
        "on": Parameter(("true", "false")),
        "maybe": Parameter(("true", "false"), nullable=True),
        "both": Parameter(("x",), nullable=True),
        "where": Parameter(file=True),
        "map": Parameter(file=True),
        "odd": Parameter(),
        "bare": Parameter(),
    }
    heir = parameters("far_away.heir.Heir")
    assert (heir["loss"], heir["more"]) == (Parameter(("huber", "squared")), Parameter(("huber", "squared")))
    assert "far_away" not in sys.modules


@pytest.mark.parametrize(
    "name", ["", "nowhere.Agent", "Agent", "rlrun.agents.dqn.Nothing", "json.JSONDecoder", "..", "a b.c"]
)
def test_what_cannot_be_found_has_no_parameters(name: str) -> None:
    assert parameters(name) == {}


def test_sources_that_go_in_circles_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ring_a.py").write_text(
        "from ring_b import X\nclass A:\n    def __init__(self, *, x: X, y: Y): ...\nY = Y\n"
    )
    (tmp_path / "ring_b.py").write_text("from ring_a import X\n")
    (tmp_path / "ring_c.py").write_text("from ring_d import Gone\n")
    (tmp_path / "ring_d.py").write_text("from ring_c import Gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parameters("ring_a.A") == {"x": Parameter(), "y": Parameter()}
    assert parameters("ring_c.Gone") == {}
