"""docs/benchmarks.md, from the benchmarks: a row for each of what they MEASURED, and of what a GPU gave.

    .venv/bin/python benchmarks/training/gpu.py --out docs/results/gpu.json   # on a machine with a GPU
    .venv/bin/python benchmarks/documents/benchmarks_page.py

MEASURED of a benchmark stands beside the code that measured them; nothing is run or imported here. What a GPU was not
asked, or could not tell, has no row.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
DOCS = BENCHMARKS.parent / "docs"
HEAD = """# Benchmarks

Made by `python benchmarks/documents/benchmarks_page.py` from the files of `benchmarks/`. The docstring of each says
how it was measured, with the repeats and what else was at work. Times are compared as ratios within one run.

| what | measured | on | command |
| --- | --- | --- | --- |
"""
NO_GPU = """
No GPU has been measured yet. What the GPU path is asked to do is tested on a simulated one (CONTRIBUTING.md, "What runs
on a GPU"), and `python benchmarks/training/gpu.py --out docs/results/gpu.json` measures a real one in under nine
minutes.
"""


def results() -> Iterator[tuple[str, str, str, str, str]]:
    """Of every benchmark that has any, room by room: what, measured, arguments, machine, file."""
    for path in sorted(BENCHMARKS.rglob("*.py")):
        for line in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "MEASURED":
                yield from ((*row, path.relative_to(BENCHMARKS).as_posix()) for row in ast.literal_eval(line.value))


def gpu_table(text: str) -> str:
    """The rows that ``gpu.py`` has a number for.

    Args:
        text: What it wrote.
    """
    found = json.loads(text)
    about, sizes = found["machine"], found["sizes"]
    rows = [
        f"| {row['name']} | {row['value']:.3g} {row['unit']} | {row['said']} |"
        for row in found["measured"]
        if row["value"] is not None
    ]
    return (
        f"\n## On a GPU\n\n{about['gpu']}, torch {about['packages']['torch']}, CUDA {about['cuda']}, "
        f"{sizes['network']}, batches of {sizes['batch']}; `python benchmarks/training/gpu.py`.\n\n"
        "| what | measured | |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def page() -> str:
    """The whole page."""
    rows = [
        f"| {what} | {measured} | {machine} | `{' '.join(['python', f'benchmarks/{file}', *arguments.split()])}` |"
        for what, measured, arguments, machine, file in results()
    ]
    gpu = DOCS / "results" / "gpu.json"
    return HEAD + "\n".join(rows) + "\n" + (gpu_table(gpu.read_text(encoding="utf-8")) if gpu.is_file() else NO_GPU)


if __name__ == "__main__":
    (DOCS / "benchmarks.md").write_text(page(), encoding="utf-8")
