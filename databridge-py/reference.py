"""Writes docs/python.md from the package's own signatures and docstrings.

python reference.py [--check] [PACKAGE PAGE]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE / "python" / "databridge"
PAGE = HERE.parent / "docs" / "python.md"

HEAD = """# Python

Made from the signatures and docstrings of `databridge-py/python/databridge` by
`databridge-py/reference.py`; a test keeps it fresh. See also [DCCs](dcc.md) and the
[cookbook](../examples/cookbook/README.md).
"""
TOPICS = [
    ("Files", ["files"]),
    ("Frame sequences", ["sequences"]),
    ("Beside the caller", ["background"]),
    ("Stores", ["session", "bridge", "client"]),
    ("Lineage", ["lineage"]),
    ("Results", ["results"]),
    ("Exceptions", ["errors"]),
]
BEGIN, END = "<!-- performance -->", "<!-- /performance -->"
# Nobody makes these: they are answers.
GIVEN = {"Handle", "Lineage"}
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_public(node: ast.stmt) -> bool:
    return isinstance(node, (ast.ClassDef, *Function)) and not node.name.startswith("_")


def prose(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").strip()


def decorators(node: ast.FunctionDef) -> set[str]:
    return {ast.unparse(one).split("(")[0] for one in node.decorator_list}


def signature(name: str, node: ast.FunctionDef) -> str:
    """In one line, or an argument to a line where that is too long."""
    arguments = node.args
    if arguments.args and arguments.args[0].arg in {"self", "cls"}:
        arguments.args = arguments.args[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    pieces = [spaced(piece) for piece in split(ast.unparse(arguments)) if piece]
    line = f"{name}({', '.join(pieces)}){returns}"
    if len(line) <= 92:
        return line
    return f"{name}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){returns}"


def split(arguments: str) -> Iterator[str]:
    depth = start = 0
    for at, letter in enumerate(arguments):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield arguments[start:at].strip()
            start = at + 1
    yield arguments[start:].strip()


def spaced(piece: str) -> str:
    """`a: int = 1`, as `unparse` does not write it."""
    name, colon, rest = piece.partition(":")
    return f"{name}{colon}{rest.replace('=', ' = ', 1)}"


def function(name: str, node: ast.FunctionDef, level: str) -> str:
    return f"{level} `{node.name}`\n\n```python\n{signature(name, node)}\n```\n{prose(node)}\n"


def fields(node: ast.ClassDef) -> str:
    """A row for each field or property, with what the text below it says."""
    rows: list[str] = []
    body = [*node.body, ast.Pass()]
    for one, below in zip(body, body[1:]):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            says = below.value if isinstance(below, ast.Expr) else None
            text = says.value if isinstance(says, ast.Constant) else ""
            rows.append(row(one.target.id, ast.unparse(one.annotation), str(text)))
        elif isinstance(one, ast.FunctionDef) and "property" in decorators(one) and is_public(one):
            returns = ast.unparse(one.returns) if one.returns else ""
            rows.append(row(one.name, returns, prose(one)))
    shown = [one for one in rows if not one.startswith("| `_")]
    return "\n".join(["| | | |", "|---|---|---|", *shown, ""]) if shown else ""


def row(name: str, kind: str, text: str) -> str:
    return f"| `{name}` | `{kind}` | {' '.join(text.split())} |".replace(" | None`", " or None`")


def classes(node: ast.ClassDef) -> str:
    bases = ", ".join(ast.unparse(one) for one in node.bases)
    made = [f"### `{node.name}`{f' ({bases})' if bases else ''}\n", prose(node) + "\n"]
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    for one in methods:
        if one.name == "__init__" and not bases.endswith("Error") and node.name not in GIVEN:
            made.append(f"```python\n{signature(node.name, one)}\n```\n")
    made.append(fields(node))
    for one in methods:
        if is_public(one) and not decorators(one) & {"property", "overload"}:
            made.append(function(one.name, one, "####"))
    return "\n".join(part for part in made if part)


def page(package: Path, before: str) -> str:
    parts = [HEAD]
    for title, modules in TOPICS:
        parts.append(f"## {title}\n")
        for name in modules:
            path = package / f"{name}.py"
            if not path.is_file():
                continue
            module = ast.parse(path.read_text())
            parts.append(prose(module) + "\n")
            for node in filter(is_public, module.body):
                if isinstance(node, ast.FunctionDef) and node.name not in {"build", "from_kind"}:
                    parts.append(function(node.name, node, "###"))
                elif isinstance(node, ast.ClassDef):
                    parts.append(classes(node))
    measured = before.partition(BEGIN)[2].partition(END)[0].strip("\n")
    parts.append(f"## Performance\n\n{BEGIN}\n{measured}\n{END}")
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    given = [Path(one) for one in arguments if one != "--check"]
    package, target = given or (PACKAGE, PAGE)
    before = target.read_text() if target.is_file() else ""
    made = page(package, before)
    if not check:
        target.write_text(made)
    elif made != before:
        sys.stderr.write(f"{target} is stale: run databridge-py/reference.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
