"""The size of the code: lines without docstrings, comments and blanks, and imports inside functions, by folder and by
room of harness.

python benchmarks/code_lines.py [REPOSITORY]
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

FOLDERS = ("harness", "methods", "datasets", "leaderboard", "tests")
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def docstrings(tree: ast.AST) -> set[int]:
    """The numbers of the lines that docstrings take."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, owners) and node.body]
    texts = [s for s in first if isinstance(s, ast.Expr) and isinstance(getattr(s.value, "value", None), str)]
    return {line for s in texts for line in range(s.lineno, (s.end_lineno or s.lineno) + 1)}


def code_lines(text: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {n for token in tokens if token.type not in SILENT for n in range(token.start[0], token.end[0] + 1)}
    return len(lines - docstrings(ast.parse(text)))


def inner_imports(text: str) -> int:
    """The import statements inside functions."""
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return len({node for f in functions for node in ast.walk(f) if isinstance(node, (ast.Import, ast.ImportFrom))})


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    rooms = [
        str(path.relative_to(root)) for path in sorted((root / "harness").iterdir()) if (path / "__init__.py").exists()
    ]
    print(f"{'folder':20} {'files':>6} {'code lines':>11} {'imports in functions':>21}")
    for folder in (*FOLDERS, *rooms):
        texts = [path.read_text(encoding="utf-8") for path in sorted((root / folder).rglob("*.py"))]
        print(f"{folder:20} {len(texts):6} {sum(map(code_lines, texts)):11} {sum(map(inner_imports, texts)):21}")


if __name__ == "__main__":
    main()
