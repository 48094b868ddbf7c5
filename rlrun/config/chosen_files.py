"""The files that a run's config is made of, as Hydra finds them: those of lists too, and those that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import _create_result_default, create_defaults_list
from hydra._internal.utils import create_config_search_path
from hydra.core.default_element import DefaultsTreeNode, GroupDefault, InputDefault, ResultDefault
from omegaconf import OmegaConf

from rlrun.config.files import search_path

_STRONGER = ("experiment/", "debug/")  # the groups that come after the preset
_ROOT = "config"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, wherever it was chosen."""

    path: str  # group/option
    package: str  # where its content is put, dotted; empty for the top
    branch: str  # the entry of config.yaml that brought it: itself, or say an experiment that names it
    exists: bool  # what is optional need not
    is_asked: bool  # whether words or a file chose it, and config.yaml not by itself

    @property
    def group(self) -> str:
        """The group that it is an option of."""
        return self.path.rpartition("/")[0]

    @property
    def option(self) -> str:
        """Its name there."""
        return self.path.rpartition("/")[2]

    def file(self, directories: Sequence[Path]) -> Path | None:
        """Where it is: rlrun's own first, as Hydra has it; None for what is no file."""
        candidates = (directory / f"{self.path}.yaml" for directory in (directories[-1], *directories[:-1]))
        return next((path for path in candidates if path.is_file()), None)


class ChosenFiles:
    """What the words of one run choose.

    Args:
        overrides: as Hydra takes them, without a sweep.
        directories: where config files are searched; the last one has `config.yaml`.

    Attributes:
        entries: all but Hydra's own, the weakest first.
        automatic_preset: the name that is looked for, whether there is such a file or not; None if one was chosen.
        weak_preset: the path of a preset that is found by itself, but says nothing of the network, since words or an
            experiment name one, and its numbers were tuned for another; None where it counts, or there is none.

    Raises:
        HydraException: if a group or an option does not exist.
    """

    def __init__(self, overrides: Sequence[str], directories: Sequence[Path]) -> None:
        self._loader = ConfigLoaderImpl(create_config_search_path(str(directories[-1])))  # not that of a running job
        words, self._files = self._loader._parse_overrides_and_create_caching_repo(
            _ROOT, [*overrides, *search_path(directories)]
        )
        found = create_defaults_list(self._files, _ROOT, words, prepend_hydra=True, skip_missing=False)
        self._found = [(entry, default) for entry, default in _walk(found.defaults_tree, "") if entry.branch != "hydra"]
        self._words = [item for item in found.config_overrides if item.key_or_group.split(".")[0] == "network"]
        self.entries = tuple(entry for entry, _ in self._found)
        choices, chosen = found.overrides.known_choices, found.overrides.override_metadata.get("network")
        tops = [entry for entry in self.entries if entry.group == "preset" and entry.path == entry.branch]
        self.presets = [entry.option for entry in tops if entry.exists]  # those that count, by name
        self.automatic_preset = next((entry.option for entry in tops if not entry.is_asked), None)
        by_itself = f"preset/{choices.get('algo')}_{choices.get('env')}"
        is_there = any(entry.path == by_itself and entry.exists for entry in self.entries)
        is_named = chosen is not None and (
            chosen.external_override
            or any(
                entry.path == chosen.containing_config_path and entry.branch.startswith(_STRONGER)
                for entry in self.entries
            )
        )
        self.weak_preset = by_itself if is_named and is_there else None

    def network_without_preset(self) -> object:
        """What all files but the weak preset's, and the words, make of `network`: unresolved; None if nothing."""
        strong = [default for entry, default in self._found if entry.exists and entry.branch != self.weak_preset]
        composed = self._loader._compose_config_from_defaults_list(strong, self._files)
        for item in self._words:
            if item.is_delete():  # of what may be the preset's alone
                composed["network"] = _without(OmegaConf.to_container(composed, resolve=False), item.key_or_group)
            else:
                self._loader._apply_overrides_to_config([item], composed)
        return composed.get("network")


def _without(content: object, key: str) -> Any:
    """What `content` has at the first name of a dotted key, without what stands at the whole key."""
    top, *_ = names = key.split(".")
    inside = content
    for name in names[:-1]:
        inside = inside.get(name) if isinstance(inside, dict) else None
    if isinstance(inside, dict):
        inside.pop(names[-1], None)
    return content.get(top) if isinstance(content, dict) else None


def _walk(tree: DefaultsTreeNode, branch: str) -> Iterator[tuple[Entry, ResultDefault]]:
    """What is below a node, in the order in which Hydra merges it; `branch` is the node's, empty for config.yaml."""
    for child in tree.children or ():
        if isinstance(child, DefaultsTreeNode):
            path = child.node.get_config_path()
            is_root = tree.node.is_virtual()  # above Hydra's own config and config.yaml
            yield from _walk(child, branch or (path if not is_root else "hydra" if path != _ROOT else ""))
        elif (default := _create_result_default(tree, child)) is not None:
            path = str(default.config_path)
            exists, asked = not child.is_deleted(), _is_asked(child, branch)
            yield Entry(path, default.package or "", branch or path, exists, asked), default


def _is_asked(node: InputDefault, branch: str) -> bool:
    if branch or node.is_self():
        return False
    return not isinstance(node, GroupDefault) or node.config_name_overridden  # no entry of config.yaml is a list
