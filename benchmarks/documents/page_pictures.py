"""Pictures of the page of a store, for docs/: on a wide screen, on a narrow one in the dark, a card, and the
front page of its site.

    .venv/bin/python benchmarks/documents/page_pictures.py runs/quickstart [docs]
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

TAILBOARD = Path(sys.executable).with_name("tailboard")
WIDE, NARROW = ViewportSize(width=1400, height=1060), ViewportSize(width=420, height=800)


def main(store: str, folder: str = "docs") -> None:
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        file = Path(place, "page.html")
        subprocess.run([TAILBOARD, "report", store, "--html", file], check=True, stdout=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        wide = browser.new_page(viewport=WIDE, color_scheme="light")
        narrow = browser.new_page(viewport=NARROW, color_scheme="dark")
        for tab in (wide, narrow):
            tab.goto(file.as_uri())
            tab.wait_for_timeout(3000)
        save(wide, Path(folder, "page.png"))
        save(narrow, Path(folder, "page-narrow.png"))
        wide.click("#head .name")
        save(wide, Path(folder, "page-data.png"), "#behind")
        site = ["--site", place, "--title", "Long tails, short trainings"]
        subprocess.run([TAILBOARD, "report", store, *site], check=True, stdout=subprocess.DEVNULL)
        wide.goto(Path(place, "index.html").as_uri())
        save(wide, Path(folder, "site.png"))
        browser.close()


def save(tab: Page, path: Path, part: str | None = None) -> None:
    """In 256 colours, which is enough for a page of flat ones, and a third of the size."""
    taken = tab.locator(part).screenshot() if part else tab.screenshot()
    picture = Image.open(io.BytesIO(taken)).convert("RGB")
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
