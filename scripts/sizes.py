"""Measures the code: lengths of functions and modules, and import cycles. Exits 1 where a bound is passed.

A function's length is its lines from `def` to its end without the docstring; a module's is all of its lines.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "stages", "bot_adapter")
MEDIAN_BELOW = 10
MODULE_AT_MOST = 450


def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def functions(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _length(node), f"{name}.{node.name}"


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return length
    docstring = node.body[0]
    return length - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def imports(tree: ast.Module, known: dict[str, Path]) -> set[str]:
    """The modules of ours that TREE imports, anywhere in it."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= inner if inner <= known.keys() else inner | {node.module}
    return named & known.keys()


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, or nothing: what's left when all without imports are taken away."""
    left = {name: targets - {name} for name, targets in graph.items()}
    while ends := [name for name, targets in left.items() if not targets]:
        left = {name: targets.difference(ends) for name, targets in left.items() if name not in ends}
    return sorted(left)


def main() -> int:
    known = modules()
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in known.items()}
    lengths = sorted((pair for name, tree in trees.items() for pair in functions(name, tree)), reverse=True)
    lines = sorted(((len(path.read_text("utf-8").splitlines()), name) for name, path in known.items()), reverse=True)
    median = statistics.median(length for length, _ in lengths)
    ring = cycle({name: imports(tree, known) for name, tree in trees.items()})
    problems = [
        f"{name} has {count} lines, more than {MODULE_AT_MOST}" for count, name in lines if count > MODULE_AT_MOST
    ]
    if median >= MEDIAN_BELOW:
        problems.append(f"the median function has {median:g} lines, {MEDIAN_BELOW} or more")
    if ring:
        problems.append(f"these import each other in a circle, or hang on it: {', '.join(ring)}")
    print(f"{len(lines)} modules, {sum(count for count, _ in lines)} lines; longest: {_show(lines)}")
    print(f"{len(lengths)} functions, median {median:g} lines; longest: {_show(lengths)}")
    for problem in problems:
        print(f"sizes: {problem}")
    return 1 if problems else 0


def _show(measured: list[tuple[int, str]]) -> str:
    return ", ".join(f"{name} {count}" for count, name in measured[:4])


if __name__ == "__main__":
    sys.exit(main())
