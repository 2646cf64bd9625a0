"""The rules of the house: what may import what, what an import costs, and that every error keeps its promises."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
import zipfile
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

import entra_async
from entra_async import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.interpreter

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "entra_async"
SOURCES = sorted(PACKAGE.rglob("*.py"))
ERRORS = [getattr(errors, name) for name in errors.__all__]

# The only modules of the SDK that may import them; the emulator and the command stand outside of it.
ENGINES = {
    "aiohttp": {"entra_async.transport.http.pool", "entra_async.transport.http.failures"},
    # msgraph-sdk takes only instances of azure-core's AccessToken for tokens, so ours is one.
    "azure": {"entra_async.transport.azure", "entra_async.transport.key_vault", "entra_async.tokens.token"},
    "msal": {"entra_async.transport.msal"},
    "requests": set[str](),
}
# What the emulator may use of the house: names and addresses, and Session's public face.
EMULATOR_MAY_USE = {
    "entra_async",
    "entra_async.clouds",
    "entra_async.errors",
    "entra_async.services",
    "entra_async.session",
}
# Names that the field does not know: CONTRIBUTING.md has the words that stand in their place.
NOT_THE_FIELDS = re.compile(r"\b(Flight|Shelf|Held|Walk|Seat|Crowd|Question)\b")


def module_name(path: Path) -> str:
    """Return the dotted name under which the file is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in SOURCES}
PACKAGES = {module_name(path) for path in SOURCES if path.name == "__init__.py"}


def statements_that_run(node: ast.AST, *, at_once: bool) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported or, unless *at_once*, when its functions are called."""
    for child in ast.iter_child_nodes(node):
        if at_once and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from statements_that_run(child, at_once=at_once)


def imported_modules(path: Path, *, run: Literal["at once", "ever"] | None = None) -> Iterator[str]:
    """Yield every module a file imports: for type checkers, too, or what it imports at once, or ever, when it runs."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree) if run is None else statements_that_run(tree, at_once=run == "at once"):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used here"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def run_python(code: str, *options: str) -> str:
    """Run the code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_no_engine() -> None:
    """`import entra_async` stays cheap: no HTTP client, engine, JSON or crypto library is loaded."""
    heavy = "{'aiohttp', 'anyio', 'asyncio', 'azure', 'cryptography', 'msal', 'msgspec', 'requests'}"
    assert run_python(f"import sys, entra_async; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"


def test_every_module_imports_without_a_warning() -> None:
    """Importing any module of the package raises nothing and warns of nothing."""
    code = f"import importlib\nfor name in {sorted(MODULES)!r}: importlib.import_module(name)"
    run_python(code, "-W", "error")


def file_cycle() -> list[str]:
    """Return modules that import each other in a cycle when they are imported; empty if none do."""
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        importer = module_name(path)
        graph[importer] = set()
        for imported in set(imported_modules(path, run="at once")) & MODULES:
            # Importing a module runs the packages around it first; those around the importer have begun already.
            around = {imported, *map(str, accumulate(imported.split("."), "{}.{}".format))}
            graph[importer] |= {name for name in around if not importer.startswith(f"{name}.")} - {importer}
            if importer.startswith(f"{imported}."):
                graph[importer].add(imported)
    return cycle(graph)


def neighbour_cycle(package: str, uses: dict[str, set[str]]) -> list[str]:
    """Return files and packages beside each other in a package that use each other in a cycle; empty if none do."""
    inside = f"{package}."
    graph: dict[str, set[str]] = {}
    for importer, imported in uses.items():
        if importer.startswith(inside):
            neighbour, *others = (
                inside + name.removeprefix(inside).partition(".")[0]
                for name in (importer, *imported)
                if name.startswith(inside)
            )
            graph.setdefault(neighbour, set()).update({*others} - {neighbour})
    return cycle(graph)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return a cycle of the graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names: list[str] = error.args[1]
        return names
    return []


def test_imports_form_no_cycle() -> None:
    """
    Neither files nor the packages beside each other import in a cycle.

    So the order in which a program imports them never matters, and each can be read without the others that use it.
    """
    uses = {module_name(path): set(imported_modules(path, run="ever")) for path in SOURCES}
    cycles = [file_cycle(), *(neighbour_cycle(package, uses) for package in sorted(PACKAGES))]
    assert not [" → ".join(names) for names in cycles if names]


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_engine_is_imported_in_one_place(engine: str) -> None:
    """A third party's surprises are met in one adapter, so no other module of the SDK imports it."""
    importers = {
        module_name(path)
        for path in SOURCES
        if any(name.partition(".")[0] == engine for name in imported_modules(path))
        and module_name(path).split(".")[1:2] not in (["testing"], ["cli"])
    }
    assert importers <= ENGINES[engine]


def test_every_imported_library_is_declared() -> None:
    """What the package imports is in pyproject.toml, also where another library would bring it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.split(r"[^\w.-]", requirement)[0].lower() for each in lists for requirement in each}
    distributions = packages_distributions()
    undeclared = set()
    for path in SOURCES:
        for name in imported_modules(path, run="ever"):
            top = name.partition(".")[0]
            if top == "azure":  # many distributions, each named after its module
                brought = {"-".join(name.split(".")[:2]), "-".join(name.split(".")[:3])}
            else:
                brought = {each.lower() for each in distributions.get(top, [top])}
            if top not in {*sys.stdlib_module_names, "entra_async"} and not brought & declared:
                undeclared.add(f"{module_name(path)} imports {name}")
    assert not undeclared


def test_emulator_shares_no_code_with_what_it_judges() -> None:
    """The emulator uses nothing of the SDK but services, clouds, errors and Session's public face."""
    foreign = {
        f"{module_name(path)} imports {name}"
        for path in (PACKAGE / "testing").rglob("*.py")
        for name in imported_modules(path)
        if name.partition(".")[0] == "entra_async"
        and not name.startswith("entra_async.testing")
        and name not in EMULATOR_MAY_USE
    }
    assert not foreign


def test_a_file_can_be_read_in_one_go() -> None:
    """No file of the package, the tests or the benchmarks is longer than 400 lines."""
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in files}
    assert not {path: count for path, count in lines.items() if count > 400}


def test_no_two_classes_share_a_name() -> None:
    """A class of the SDK, private ones included, has a name that no other has: one word, one thing."""
    homes: dict[str, list[str]] = {}
    for path in SOURCES:
        if "testing" not in path.relative_to(PACKAGE).parts:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(module_name(path))
    assert not {name: modules for name, modules in homes.items() if len(modules) > 1}


def test_names_are_words_of_the_field() -> None:
    """None of the names that only this project knew has come back, in code, docstrings or comments."""
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{number}: {match[0]}"
        for path in SOURCES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        for match in NOT_THE_FIELDS.finditer(line)
    }
    assert not found


def test_public_names_are_documented() -> None:
    """Every public name, and every public method of a public class, has a docstring and stands in docs/api.md."""
    listed = set(re.findall(r"\w+", (ROOT / "docs" / "api.md").read_text("utf-8")))
    bare, unlisted = [], []
    for name in entra_async.__all__:
        public = getattr(entra_async, name)
        if name not in listed:
            unlisted.append(name)
        if not inspect.isclass(public) and not callable(public):
            continue
        if not inspect.getdoc(public):
            bare.append(name)
        if inspect.isclass(public):
            bare += [
                f"{name}.{member}"
                for member, value in vars(public).items()
                if not member.startswith("_")
                and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
                and not inspect.getdoc(getattr(public, member))
            ]
    assert not bare
    assert not unlisted


def test_every_error_is_public() -> None:
    """`errors` exports every class it defines, so that whatever is raised can be caught by name."""
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)


def test_error_tree_is_drawn_as_it_is() -> None:
    """The tree in the docstring of `errors` is the tree of the classes, with their built-in bases."""
    drawn: dict[str, set[str]] = {}
    path: list[str] = []
    assert errors.__doc__ is not None
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+Error)(?:\((\w+)\))?", line)
        if match is None:
            continue
        trunk, name, builtin = match.groups()
        depth = len(trunk) // 4 + ("── " in line)
        path[depth:] = [name]
        drawn[name] = {*path[depth - 1 : depth], *([builtin] if builtin else [])}
    assert drawn == {cls.__name__: {base.__name__ for base in cls.__bases__} for cls in ERRORS}


def sample(annotation: str) -> Any:
    """Return a value of the kind a field of an error is annotated with."""
    samples = {"str": "text", "int": 429, "float": 2.5, "bool": False, "dict[str, str]": {"retry-after": "2"}}
    return samples[annotation.removesuffix(" | None")]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_error_survives_a_process_boundary(cls: type[errors.EntraError], protocol: int) -> None:
    """An error pickled at any protocol comes back with its class, message, hint and every attribute."""
    fields: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__ == errors.__name__:
            fields |= {name: sample(kind) for name, kind in inspect.get_annotations(base).items()}
    accepted = {name for name in inspect.signature(cls).parameters if name != "message"}
    error = cls("It failed.", **{name: value for name, value in fields.items() if name in accepted})
    for name in fields.keys() - accepted:
        setattr(error, name, fields[name])

    loaded = pickle.loads(pickle.dumps(error, protocol))

    assert type(loaded) is cls
    assert loaded.args == ("It failed.",)
    assert str(loaded) == str(error) == "It failed. text"
    assert {name: getattr(loaded, name) for name in fields} == fields


def test_wheel_is_small_and_typed(tmp_path: Path) -> None:
    """The SDK takes less than 350 KB of the wheel, the emulator less than 300 KB; there is nothing else in it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=20,
    )
    (wheel,) = tmp_path.glob("*.whl")
    members = zipfile.ZipFile(wheel).infolist()
    names = [member.filename for member in members]
    emulator = sum(member.compress_size for member in members if member.filename.startswith("entra_async/testing/"))
    assert sum(member.compress_size for member in members) - emulator < 400_000
    assert emulator < 300_000
    assert "entra_async/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"entra_async"}
