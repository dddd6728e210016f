"""Which test proves which scenario: keeps the table of docs/matrixrtc.md, section 6.

`python -m tests.scenarios` writes the tests' names into the table; `tests/test_scenarios.py` fails
while it is not true.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "matrixrtc.md"
LEFT_OUT = "left out: "
_ROW = re.compile(r"\| ([CFHJMSX]\d\d) \| (.*) \| (.*) \|")


def proofs() -> Mapping[str, list[str]]:
    """Return the tests by the scenarios that they are marked with, as `path::name`."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "node_modules" in path.parts:
            continue
        text = path.read_text()
        if "mark.scenario(" not in text:
            continue  # to parse all of them takes seconds
        for node in ast.walk(ast.parse(text)):
            # An asynchronous test, one in a class, one whose parameters are marked: all the same.
            # A Hypothesis machine's marks stand on its class.
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for scenario in _marks(node):
                    name = f"{path.relative_to(ROOT / 'tests')}::{node.name}"
                    if name not in found[scenario]:
                        found[scenario].append(name)
    return found


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        for call in ast.walk(decorator):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "scenario"
            ):
                yield from (ast.literal_eval(argument) for argument in call.args)


def table() -> dict[str, tuple[str, str]]:
    """Return what the page says of each scenario: its text, and its tests or why it has none."""
    rows = (_ROW.fullmatch(line) for line in PAGE.read_text().splitlines())
    return {row[1]: (row[2], row[3]) for row in rows if row is not None}


def cell(names: list[str]) -> str:
    """Return what the table says of a scenario with these tests."""
    return "<br>".join(f"`{name}`" for name in names)


def main() -> None:
    """Write the tests' names into the page; reasons for none are written by hand."""
    found = proofs()

    def row(match: re.Match[str]) -> str:
        scenario, text, before = match.groups()
        names = found.get(scenario)
        return f"| {scenario} | {text} | {cell(names) if names else before} |"

    PAGE.write_text(_ROW.sub(row, PAGE.read_text()))


if __name__ == "__main__":
    main()
