"""Count what there is to read: files, lines, code, docstrings, comments, and the longest functions."""

import ast
import io
import sys
import tokenize
from pathlib import Path

FOLDERS = sys.argv[1:] or ["src/optimkit", "docs/_ext", "tests", "examples"]


def count(path: Path) -> tuple[int, int, int, int]:
    """Return lines, code lines, docstring lines and comment lines of a file."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    docs: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for each in body if isinstance(body, list) else []:
            is_text = isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
            if is_text and isinstance(each.value.value, str):
                docs |= set(range(each.lineno, each.end_lineno + 1))
    comments = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and lines[token.start[0] - 1].lstrip().startswith("#")
    }
    blank = {number for number, line in enumerate(lines, 1) if not line.strip()}
    code = set(range(1, len(lines) + 1)) - docs - comments - blank
    return len(lines), len(code), len(docs), len(comments - docs)


def functions(path: Path) -> list[tuple[int, str]]:
    """Return the length of each function, from ``def`` to its end less its docstring, and where it is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            size = node.end_lineno - node.lineno + 1
            size -= doc.end_lineno - doc.lineno + 1 if doc else 0
            found.append((size, f"{path}:{node.lineno} {node.name}"))
    return found


def main() -> None:
    """Print a row for each folder, then the longest functions of the package."""
    print(f"{'':24}{'files':>7}{'lines':>7}{'code':>7}{'docs':>7}{'comments':>10}")
    for folder in FOLDERS:
        paths = sorted(Path(folder).rglob("*.py"))
        sums = [sum(column) for column in zip(*map(count, paths), strict=True)]
        print(
            f"{folder:24}{len(paths):>7}" + "".join(f"{each:>7}" for each in sums[:3]),
            f"{sums[3]:>9}",
        )
    longest = sorted(each for path in Path(FOLDERS[0]).rglob("*.py") for each in functions(path))
    print("\nthe longest functions, without their docstrings:")
    for size, where in longest[:-6:-1]:
        print(f"{size:>5}  {where}")


if __name__ == "__main__":
    main()
