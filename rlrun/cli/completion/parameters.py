"""What a key may hold, without importing the class that takes it: from `catalogue.json`, or else the class's source.

The catalogue is read as plain JSON here, since `rlrun.config.catalogue` makes annotations of it, for which it needs
pydantic.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from rlrun.files import read_text

_CATALOGUE = Path(__file__).resolve().parents[2] / "config" / "catalogue.json"


class Parameter(NamedTuple):
    """One configured argument."""

    choices: tuple[str, ...] = ()  # every value there is, or of a file every name; empty: too many to list
    nullable: bool = False
    file: bool = False  # may be the path of a file
    targets: tuple[str, ...] = ()  # of an object: classes that fit
    meaning: str = ""


def parameters(target: str) -> Mapping[str, Parameter]:
    """The arguments of a class, by name; empty where neither the catalogue nor a source file knows it."""
    entry = _catalogue()["targets"].get(target)
    if entry is None:
        return _from_source(target)
    return {name: _parameter(content) for name, content in entry["parameters"].items()}


@cache
def _catalogue() -> Mapping[str, Any]:
    try:
        content = json.loads(_CATALOGUE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"targets": {}, "kinds": {}}
    return content if isinstance(content, dict) else {"targets": {}, "kinds": {}}


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    members = entry["members"] if entry["type"] == "any_of" else [entry]
    targets = [name for member in members if member["type"] == "object" for name in _fitting(member["kind"])]
    return Parameter(
        choices=tuple(choice for member in members for choice in _choices(member)) + tuple(entry.get("names", ())),
        nullable=bool(entry.get("nullable")),
        file=bool(entry.get("file")) or any(member["type"] == "path" for member in members),
        targets=tuple(targets),
        meaning=entry.get("meaning") or "",
    )


def _choices(entry: Mapping[str, Any]) -> list[str]:
    if entry["type"] == "boolean":
        return ["true", "false"]
    return [_typed(choice) for choice in entry.get("choices") or ()]


def _fitting(kind: str) -> list[str]:
    return sorted(_catalogue()["kinds"].get(kind, {}).get("targets", ()))


def _typed(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# A class of a user's own: its annotations, as far as they can be understood without running anything.


_DEEPEST = 10  # classes, aliases and imports that lead to one another


def _from_source(target: str, depth: int = 0) -> dict[str, Parameter]:
    module, _, name = target.rpartition(".")
    tree = _parsed(module)
    for node in tree.body if tree is not None and depth < _DEEPEST else ():
        if isinstance(node, ast.ClassDef) and node.name == name:
            inherited: dict[str, Parameter] = {}
            if not any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                inherited = _from_source(f"{module}.{bases[0]}", depth + 1) if bases else {}
            return inherited | dict(_arguments(node, module))
        for origin, original in _imported(node, name, module):
            return _from_source(f"{origin}.{original}", depth + 1)
    return {}


def _imported(node: ast.stmt, name: str, module: str) -> Iterator[tuple[str, str]]:
    """From which module `name` is imported by a statement of `module`, and what it is called there."""
    if isinstance(node, ast.ImportFrom):
        source = _source(module)
        is_package = source is not None and source.name == "__init__.py"
        parents = module.split(".")[: len(module.split(".")) + is_package - node.level] if node.level else []
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                yield ".".join([*parents, *([node.module] if node.module else [])]), alias.name


def _arguments(owner: ast.ClassDef, module: str) -> Iterator[tuple[str, Parameter]]:
    from rlrun.config.docstrings import meanings_in  # of users' classes alone: for ours the catalogue is enough

    meanings = meanings_in(ast.get_docstring(owner) or "")
    for name, parameter in _annotated_arguments(owner, module):
        yield name, parameter._replace(meaning=meanings.get(name, ""))


def _annotated_arguments(owner: ast.ClassDef, module: str) -> Iterator[tuple[str, Parameter]]:
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument in (*node.args.args[1:], *node.args.kwonlyargs):
                yield argument.arg, _annotated(argument.annotation, module)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):  # a field of a dataclass
            yield node.target.id, _annotated(node.annotation, module)


def _annotated(node: ast.expr | None, module: str, depth: int = 0) -> Parameter:
    """What an annotation allows; nothing is known of one that is not understood."""
    if depth > _DEEPEST:
        return Parameter()
    match node:
        case ast.Constant(value=None):
            return Parameter(nullable=True)
        case ast.Constant(value=str(text)):
            try:
                return _annotated(ast.parse(text, mode="eval").body, module, depth + 1)
            except SyntaxError:
                return Parameter()
        case ast.Name(id="bool"):
            return Parameter(choices=("true", "false"))
        case ast.Name(id="Path") | ast.Attribute(attr="Path"):
            return Parameter(file=True)
        case ast.Name(id=name):
            return _named(name, module, depth)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either(_annotated(left, module, depth + 1), _annotated(right, module, depth + 1))
        case ast.Subscript(value=outer, slice=inner):
            return _subscripted(outer, inner, module, depth)
    return Parameter()


def _subscripted(outer: ast.expr, inner: ast.expr, module: str, depth: int) -> Parameter:
    members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match outer:
        case ast.Name(id="Literal") | ast.Attribute(attr="Literal"):
            values = [member.value for member in members if isinstance(member, ast.Constant)]
            return Parameter(tuple(_typed(value) for value in values if value is not None), nullable=None in values)
        case ast.Name(id="Annotated") | ast.Attribute(attr="Annotated"):
            is_file = any(isinstance(mark, ast.Name) and mark.id == "FILE" for mark in members[1:])
            return _either(_annotated(members[0], module, depth + 1), Parameter(file=is_file))
        case ast.Name(id="Optional") | ast.Attribute(attr="Optional"):
            return _either(_annotated(inner, module, depth + 1), Parameter(nullable=True))
    return Parameter()


def _named(name: str, module: str, depth: int) -> Parameter:
    """An alias: `Loss = Literal["huber", "squared"]`, here or where it is imported from."""
    tree = _parsed(module)
    for node in tree.body if tree is not None else ():
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                return _annotated(value, module, depth + 1)
            case ast.AnnAssign(target=ast.Name(id=found), value=value) if found == name:
                return _annotated(value, module, depth + 1)
            case _:
                for origin, original in _imported(node, name, module):
                    return _named(original, origin, depth + 1) if depth < _DEEPEST else Parameter()
    return Parameter()


def _either(left: Parameter, right: Parameter) -> Parameter:
    return Parameter((*left.choices, *right.choices), left.nullable or right.nullable, left.file or right.file)


@cache
def _parsed(module: str) -> ast.Module | None:
    path = _source(module)
    try:
        return ast.parse(read_text(path)) if path is not None else None
    except (OSError, SyntaxError, ValueError):
        return None


def _source(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    top, *inner = module.split(".")
    if not top or top in sys.stdlib_module_names:
        return None
    try:
        spec = find_spec(top)  # of a name without dots: nothing is imported
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner and spec.origin is not None:
        return Path(spec.origin)
    for place in spec.submodule_search_locations or ():
        path = Path(place, *inner)
        for candidate in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
