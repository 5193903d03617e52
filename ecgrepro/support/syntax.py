"""A package as definitions that name each other: parsed, never imported."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ecgrepro.errors import EcgreproError

# In place of a definition's name:
_EFFECTS = ""  # the statements of a module that define nothing but do something
_ALL = "*"  # all of a module
_SKIPPED = {"annotation", "returns", "ctx", "kind", "type_comment", "type_ignores"}
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Chain = tuple[str, ...]  # ("np", "linalg", "norm"): a name and attributes of it
_Unit = tuple[str, str]  # a module and the name of a definition in it


class Package:
    """The source of a package, as definitions that name each other.

    Parameters
    ----------
    root
        The package's folder; its name is the package's.
    data_files
        Of a module the files that it reads, as paths below ``root``.
    """

    def __init__(self, root: Path, data_files: Mapping[str, Iterable[str]] | None = None):
        self.root = root
        self._data_files = data_files or {}
        self._modules: dict[str, _Module | None] = {}
        self._read: dict[_Unit, tuple[bytes, frozenset[_Unit]]] = {}

    def fingerprint(self, *names: str) -> str:
        """As `code_fingerprint`."""
        todo = [unit for name in names for unit in self._root_units(name)]
        seen: set[_Unit] = set()
        while todo:
            unit = todo.pop()
            if unit not in seen:
                seen.add(unit)
                todo.extend(self._read_unit(unit)[1])
        digest = hashlib.sha256()
        for unit in sorted(seen):
            digest.update(self._read_unit(unit)[0])
        return digest.hexdigest()

    def module(self, name: str) -> _Module | None:
        """The module of that dotted name; None if this package has none."""
        if name not in self._modules:
            self._modules[name] = self._parse(name)
        return self._modules[name]

    def _parse(self, name: str) -> _Module | None:
        file = self._files.get(name)
        return _Module(name, file) if file else None

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Every module's file by its dotted name; a package's is its ``__init__``."""
        found = {}
        for file in self.root.rglob("*.py"):
            parts = (self.root.name, *file.relative_to(self.root).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        return found

    def _root_units(self, name: str) -> list[_Unit]:
        if module := self.module(name):
            return [(each.name, _ALL) for each in self._modules_of(module)]
        parent, _, last = name.rpartition(".")
        if module := self.module(parent):
            found = self._look_up(module, (last,))
            units = [target for target in found or [] if not isinstance(target, str)]
            if units and units == found:
                return units
        raise EcgreproError(
            f"{name} is no module of the package {self.root.name} and no function, class or "
            "constant in one: name one as in package.module.function"
        )

    def _modules_of(self, module: _Module) -> Iterator[_Module]:
        yield module
        if module.file.name == "__init__.py":
            folder = module.file.parent
            inner = {p.stem for p in folder.glob("*.py")} | {p.name for p in folder.iterdir()}
            for name in sorted(inner - {"__init__"}):
                if found := self.module(f"{module.name}.{name}"):
                    yield from self._modules_of(found)

    def _read_unit(self, unit: _Unit) -> tuple[bytes, frozenset[_Unit]]:
        """The content of a definition, for the digest, and the definitions that it names."""
        if unit not in self._read:
            module = self.module(unit[0])
            assert module is not None
            if unit[1] == _ALL:
                self._read[unit] = b"", frozenset(self._parts(module))
            else:
                self._read[unit] = self._read_definition(module, unit[1])
        return self._read[unit]

    def _parts(self, module: _Module) -> Iterator[_Unit]:
        """All of a module; of a package's own file also what it imports from this package."""
        for name in (_EFFECTS, *module.definitions):
            yield module.name, name
        if module.file.name == "__init__.py":
            for name in module.imports:
                found = self._look_up(module, (name,)) or []
                yield from (target for target in found if not isinstance(target, str))

    def _read_definition(self, module: _Module, name: str) -> tuple[bytes, frozenset[_Unit]]:
        tree = _Tree(module.statements(name))
        inner = module.bindings(tree.imports)
        content, named = [module.name, name, *tree.words], {(module.name, _EFFECTS)}
        for chain in sorted(tree.chains):
            if chain[0] in inner:
                targets = self._follow(*inner[chain[0]], chain[1:])
            else:
                targets = self._look_up(module, chain)
            if targets is None and (chain[0] in inner or chain[0] in module.imports):
                raise EcgreproError(
                    f"{module.file}: {'.'.join(chain)} is not there, neither as a module nor as a "
                    "definition in one"
                )
            for target in targets or ():
                content.append(f"{'.'.join(chain)} is {target}")
                if not isinstance(target, str):
                    named.add(target)
        if name == _EFFECTS:
            for file in self._data_files.get(module.name, ()):
                content.append(hashlib.sha256((self.root / file).read_bytes()).hexdigest())
        return hashlib.sha256("\0".join(content).encode()).digest(), frozenset(named)

    def _look_up(self, module: _Module, chain: _Chain) -> list[_Unit | str] | None:
        """What a name of a module, with attributes, stands for; None if it is not there.

        Definitions of this package, or the full name of something outside of it.
        """
        name = chain[0]
        if name in module.definitions:
            return [(module.name, _EFFECTS), (module.name, name)]
        # A package that imports a module of its own names the module.
        if name in module.imports and module.imports[name] != (module.name, name):
            found = self._follow(*module.imports[name], chain[1:])
            return found and [(module.name, _EFFECTS), *found]
        if name in module.bound_by_effects:
            return [(module.name, _EFFECTS)]
        if inner := self.module(f"{module.name}.{name}"):
            return self._of_module(inner, chain[1:])
        return None

    def _follow(self, name: str, attribute: str, rest: _Chain) -> list[_Unit | str] | None:
        """What an imported name, with attributes, stands for."""
        chain = (attribute, *rest) if attribute else rest
        if name.split(".", maxsplit=1)[0] != self.root.name:
            return [".".join((name, *([attribute] if attribute else [])))]
        module = self.module(name)
        return self._of_module(module, chain) if module else None

    def _of_module(self, module: _Module, chain: _Chain) -> list[_Unit | str] | None:
        if not chain:
            return [(module.name, _ALL)]
        if chain[0].startswith("__") and chain[0] not in module.definitions:
            return []  # __name__, __file__ ...
        return self._look_up(module, chain)


@dataclass
class _Module:
    """A parsed module: what it defines, what it imports, and what it does when it is imported."""

    name: str
    file: Path
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)

    def __post_init__(self):
        tree = ast.parse(self.file.read_text(encoding="utf-8"), str(self.file))
        for statement in tree.body:
            self._sort(statement)

    def _sort(self, statement: ast.stmt) -> None:
        """Put a statement under the names that it defines, or to the effects."""
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.imports.update(self.bindings([statement]))
        elif isinstance(statement, ast.If) and _last_name(statement.test) == "TYPE_CHECKING":
            for other in statement.orelse:
                self._sort(other)
        elif names := _defined(statement):
            for name in names:
                self.definitions.setdefault(name, []).append(statement)
        elif not _is_text(statement):
            self.effects.append(statement)
            for node in ast.walk(statement):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    self.imports.update(self.bindings([node]))

    @cached_property
    def bound_by_effects(self) -> set[str]:
        """Names that an ``if``, a loop or another such statement defines."""
        names: set[str] = set()
        for statement in self.effects:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.add(node.id)
                elif isinstance(node, _Definition):
                    names.add(node.name)
        return names

    def statements(self, name: str) -> list[ast.stmt]:
        """The statements that define a name, or the effects."""
        return self.effects if name == _EFFECTS else self.definitions[name]

    def bindings(
        self, imports: Iterable[ast.Import | ast.ImportFrom]
    ) -> dict[str, tuple[str, str]]:
        """Of each name that the imports bind, the module and the name in it ("": the module)."""
        found = {}
        for node in imports:
            for alias in node.names:
                if isinstance(node, ast.ImportFrom):
                    found[alias.asname or alias.name] = (self._source(node), alias.name)
                elif alias.asname:
                    found[alias.asname] = (alias.name, "")
                else:
                    first = alias.name.split(".")[0]
                    found[first] = (first, "")
        return found

    def _source(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        up = node.level - (self.file.name == "__init__.py")
        return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


class _Tree:
    """Statements as words that keep what they do, and the names that they use.

    Attributes
    ----------
    words
        The syntax tree without docstrings, type annotations and whatever is empty, so that
        versions of Python agree.
    chains
        Names, with the attributes that are asked of them.
    imports
        Imports inside of functions.
    """

    def __init__(self, statements: Iterable[ast.stmt]):
        self.words: list[str] = []
        self.chains: set[_Chain] = set()
        self.imports: list[ast.Import | ast.ImportFrom] = []
        for statement in statements:
            self._visit(statement, in_class=False)

    def _visit(self, node: ast.AST, *, in_class: bool) -> None:
        if isinstance(node, ast.Attribute | ast.Name):
            self._visit_chain(node)
            return
        if isinstance(node, ast.Constant):
            self.words.append(f"{node.value!r}")
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.append(node)
        kind = type(node).__name__
        if isinstance(node, ast.AnnAssign) and node.value and not in_class:
            kind = "Assign"  # an annotation outside of a class changes nothing
        self.words.append(f"({kind}")
        in_class = isinstance(node, ast.ClassDef)
        for name in node._fields:
            value = getattr(node, name, None)
            if name in _SKIPPED or value is None or value == []:
                continue
            if not (kind == "Assign" and name == "simple"):
                self._visit_field(name, value, kind, in_class=in_class)
        self.words.append(")")

    def _visit_field(self, name: str, value: object, kind: str, *, in_class: bool) -> None:
        self.words.append("targets" if (kind, name) == ("Assign", "target") else name)
        if isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    if not _is_text(item):
                        self._visit(item, in_class=in_class)
                else:
                    self.words.append(f"{item!r}")
        elif isinstance(value, ast.AST):
            self._visit(value, in_class=in_class)
        else:
            self.words.append(f"{value!r}")

    def _visit_chain(self, node: ast.expr) -> None:
        attributes = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        attributes.reverse()
        if isinstance(node, ast.Name):
            self.chains.add((node.id, *attributes))
            self.words.append(".".join((node.id, *attributes)))
        else:
            self.words.append("." + ".".join(attributes))
            self._visit(node, in_class=False)


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a plain definition, assignment or augmented assignment defines."""
    if isinstance(statement, _Definition):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    else:
        return []
    names: list[str] = []
    for target in targets:
        inner = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        own = [one.id for one in inner if isinstance(one, ast.Name)]
        if len(own) < len(inner):
            return []  # an attribute or an item of something: an effect
        names += own
    return names


def _is_text(statement: ast.AST) -> bool:
    """Whether a statement is nothing but a string: a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
