"""Pictures for docs/ of the real pages of MLflow and of Optuna's dashboard, of a tuned store that MLflow was told of.

    .venv/bin/python benchmarks/documents/tracking_pictures.py runs/tuned-mini [docs]

On the way it chooses the view and filters as docs/tracking.md says, and ends with an error where the page
does not show what the guide says.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from page_pictures import save
from playwright.sync_api import Page, ViewportSize, sync_playwright

BIN = Path(sys.executable).parent
SIZE, TALL = ViewportSize(width=1500, height=760), ViewportSize(width=1500, height=1150)
SECONDS = 180  # for a server to start, on a machine that does other things too
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
TABLE = "experiments/1/runs?viewStateShareKey=tailboard-table"


@contextmanager
def served(*words: object) -> Iterator[str]:
    """The address of a server on loopback, whose port stands behind these words."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*map(str, words), "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | QUIET, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + SECONDS
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError(f"{words[0]} does not answer") from None
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def shows(tab: Page, *texts: str) -> None:
    """Wait until the page shows all of these."""
    for text in texts:
        tab.get_by_text(text).first.wait_for(timeout=SECONDS * 1000)


def mlflow(tab: Page, address: str, folder: Path) -> None:
    """The rows as a table, and by a filter one row with its trials and its search."""
    tab.goto(f"{address}/#/{TABLE}", wait_until="commit")
    shows(tab, "Leaderboard", "LDAM-DRW", "matching runs", "test/all_stderr")
    assistant = tab.get_by_role("button", name="Close")
    if assistant.count():
        assistant.first.click()
    tab.wait_for_timeout(2000)
    save(tab, folder / "mlflow-table.png")
    tab.goto(f"{address}/#/experiments/1/runs?searchFilter=params.method%20%3D%20%27M2m%27")
    shows(tab, "tuning M2m")


def optuna(tab: Page, address: str, folder: Path) -> None:
    """The searches, and one of them."""
    tab.set_viewport_size(TALL)
    tab.goto(f"{address}/dashboard", wait_until="commit")
    shows(tab, "M2m")
    tab.get_by_text("M2m").first.click()
    shows(tab, "Include PRUNED trials", "Hyperparameter Importance", "Best Trial")
    tab.wait_for_timeout(6000)
    save(tab, folder / "optuna-dashboard.png")


def main(store: str, folder: str = "docs") -> None:
    place = Path(store).resolve()
    uri, files = f"sqlite:///{place}/mlflow.db", place / "mlflow-artifacts"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        tab = browser.new_page(viewport=SIZE, color_scheme="light")
        with served(
            BIN / "mlflow", "server", "--backend-store-uri", uri, "--artifacts-destination", files, "--workers", "1"
        ) as address:
            mlflow(tab, address, Path(folder))
        with served(BIN / "optuna-dashboard", f"sqlite:///{place}/studies.db") as address:
            optuna(tab, address, Path(folder))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
