"""The JavaScript examples, run and checked: Node.js and a headless browser, with the packages that `.ci/run` installs.

Where something is missing a test skips with the reason; where `CI` is set it fails, for there nobody reads skips.
"""

import contextlib
import functools
import http.server
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from browsing import HEADLESS, find_browser, missing
from conftest import ROOT
from lineside.contract import Verdict
from lineside.runtime import Inspector

EXAMPLES = ROOT / "inspect" / "lineside" / "examples" / "js"
FLAGS = (
    *HEADLESS, "--no-first-run", "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
PATIENCE_S = 240
SPOILT = {
    "undecodable": "no.png: no image that this browser can read",
    "text": "no file; drop or choose an image file",
    "alpha": "the image has see-through pixels; save it without alpha",
}
"""What is dropped that no verdict can be given of, and what the page says of it."""


def modules_folder(package: str) -> Path:
    """Return the folder whose node_modules holds a package: LINESIDE_NODE, or tests/js."""
    folder = Path(os.environ.get("LINESIDE_NODE") or ROOT / "tests" / "js")
    if not (folder / "node_modules" / package / "package.json").is_file():
        missing(f"{package} is not installed in {folder} (npm ci --ignore-scripts there; LINESIDE_NODE names another)")
    return folder


def node_verify(bundle: Path) -> subprocess.CompletedProcess[str]:
    """Run the example verify.mjs on a bundle."""
    node = shutil.which("node")
    if node is None:
        missing("Node.js is not installed")
    return subprocess.run(
        [node, str(EXAMPLES / "verify.mjs"), str(bundle)],
        cwd=modules_folder("onnxruntime-node"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def browse(bundle: Path, folder: Path) -> dict[str, Any]:
    """Open the example page with a bundle in a headless browser; return what tests/js/drive.mjs saw of it.

    `folder` gets the page as a user would lay it out.
    """
    browser = find_browser()
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    shutil.copytree(bundle, folder / "model")
    (folder / "ort").symlink_to(modules_folder("onnxruntime-web") / "node_modules" / "onnxruntime-web" / "dist")
    page = (folder / "index.html").read_text(encoding="utf-8")
    driven = page.replace("</head>", '<script type="module" src="drive.mjs"></script></head>')
    (folder / "driven.html").write_text(driven, encoding="utf-8")
    shutil.copy(ROOT / "tests" / "js" / "drive.mjs", folder)
    with _served(folder) as (port, reports), _opened(browser, f"http://127.0.0.1:{port}/driven.html") as log:
        try:
            report: dict[str, Any] = reports.get(timeout=PATIENCE_S)
        except queue.Empty:
            pytest.fail(f"the page never reported; the browser said:\n{log.read_text(errors='replace')[-2000:]}")
    return report


def recorded(bundle: Path) -> dict[str, Any]:
    """Return the vectors' expected outputs by name."""
    document = json.loads((bundle / "vectors" / "vectors.json").read_text())
    return {entry["name"]: entry["outputs"] for entry in document["vectors"]}


def agree(checked: list[dict[str, Any]], bundle: Path) -> None:
    """Every vector was checked, its verdict is the recorded one and its score within the contract's tolerance."""
    wanted = recorded(bundle)
    assert [vector["name"] for vector in checked] == list(wanted)
    rel = json.loads((bundle / "contract.json").read_text())["score_tolerance_rel"]
    for vector in checked:
        expected = wanted[vector["name"]]
        assert vector["verdict"] == Verdict(expected["verdict"]).name
        assert vector["score"] == pytest.approx(expected["score"], rel=rel)


def shown_right(report: dict[str, Any], bundle: Path) -> None:
    """The page checked every vector, and shows verdict, score and heatmap of each dropped picture."""
    assert (report["loaded"], report["checked"]) == ("ready", "ready")
    agree(json.loads(report["vectors"]), bundle)
    inspector = Inspector(bundle)
    assert report["part"] == inspector.contract.part
    assert list(report["drops"]) == list(recorded(bundle))
    for name, seen in report["drops"].items():
        frame = cv2.cvtColor(cv2.imread(str(bundle / "vectors" / f"{name}.png")), cv2.COLOR_BGR2RGB)
        wanted = inspector.inspect(frame)
        assert (seen["state"], seen["verdict"]) == ("ready", wanted.verdict.name)
        assert float(seen["score"].split()[1].rstrip(",")) == pytest.approx(wanted.score, rel=1e-3)
        assert seen["reasons"] == [inspector.contract.in_words(reason) for reason in wanted.reasons]
        assert tuple(seen["image_wh"]) == wanted.frame_wh
        cells = wanted.anomaly_map.astype(np.float64)
        assert tuple(seen["heat_hw"]) == cells.shape
        clear = np.abs(cells - inspector.contract.map_threshold) > 0.02 * cells.max()
        assert np.array_equal(
            np.reshape(seen["hot"], cells.shape)[clear], (cells > inspector.contract.map_threshold)[clear]
        )
    nothing = {"verdict": "", "score": "", "reasons": [], "image_wh": [0, 0], "heat_hw": [0, 0], "hot": []}
    for kind, words in SPOILT.items():
        spoilt = report["spoilt"][kind]
        assert spoilt["before"], kind
        assert spoilt["after"] == {"state": f"error: {words}", **nothing}, kind
    outside = [url for url in report["requests"] if not url.startswith(("http://127.0.0.1:", "blob:"))]
    assert report["requests"]
    assert not outside


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and takes one report."""

    def __init__(self, *args: Any, reports: "queue.Queue[dict[str, Any]]", **kwargs: Any) -> None:
        self._reports = reports
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:
        """Take the report."""
        self._reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[int, "queue.Queue[dict[str, Any]]"]]:
    reports: queue.Queue[dict[str, Any]] = queue.Queue()
    handler = functools.partial(_Handler, directory=str(folder), reports=reports)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1], reports
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _opened(browser: str, url: str) -> Iterator[Path]:
    """Open a page in a browser with a profile of its own; yield the file that it logs to."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "log.txt"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [browser, *FLAGS, f"--user-data-dir={profile}/profile", url],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                yield log
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
