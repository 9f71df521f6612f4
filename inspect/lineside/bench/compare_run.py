"""One run: fit a method on drawn images, assemble the graph that would be deployed, and measure that very graph.

Left out for time: the proof of parity, vectors, card and report. A method that wins is still trained, and proven, by
`lineside train`.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Literal

from lineside.bench.compare_draw import drawn
from lineside.bench.compare_measure import judged, measured
from lineside.bench.compare_plan import Job, Variant, plan
from lineside.bench.compare_row import Measures, Row, Scores
from lineside.capture.copies import load_grouped
from lineside.data_lock import data_sha256
from lineside.dataset import Dataset
from lineside.errors import LinesideError, UsageError
from lineside.graph.run import WORKERS_VARIABLE, Graph
from lineside.program import program_sha256
from lineside.recipe import load_recipe
from lineside.train.progress import Journal, SilentProgress
from lineside.train.run import deployable

_NEEDED = {
    "lineside": ("torch", "timm", "onnxscript"),
    "text": ("torch", "timm", "onnxscript", "open_clip"),
    "anomalib": ("torch", "onnxscript", "anomalib.models"),
}


def planned(
    recipes: Sequence[Path],
    variants: Sequence[Variant],
    shots: Sequence[int | Literal["all"]] | None,
    seeds: int,
    class_shots: int | None = None,
) -> tuple[tuple[Job, ...], tuple[str, ...]]:
    """List the runs of some recipes (see `plan`), and the key of each; every image is read once for that.

    Raises
    ------
    RecipeError, UsageError, ImageError
        When a recipe, its images or what is asked for are wrong, or two recipes have one part's name.
    """
    jobs, keys, parts = list[Job](), list[str](), dict[str, Path]()
    for path in recipes:
        loaded = load_recipe(path)
        other = parts.setdefault(loaded.recipe.part, path)
        if other is not path:
            raise UsageError(f"{other} and {path} have one part's name, {loaded.recipe.part!r}. Compare them apart.")
        dataset, _ = load_grouped(loaded)
        of_this = plan(loaded, dataset, variants, shots, seeds, class_shots)
        data_hash = data_sha256(dataset)
        jobs += of_this
        keys += [_key_of(job, dataset, data_hash) for job in of_this]
    return tuple(jobs), tuple(keys)


def run_job(job: Job, key: str) -> Row:
    """Train and measure; what goes wrong becomes the row's error."""
    row = partial(
        Row,
        key=key,
        part=job.part,
        label=job.variant.label,
        method=job.variant.method,
        shots=job.shots,
        class_shots=job.class_shots,
        seed=job.seed,
        program=program_sha256(),
    )
    try:
        with one_thread():
            measures, scores = _trained(job)
    except LinesideError as error:
        return row(error=error.message, measures=None)
    except Exception as error:  # a method of another's making may fail in any way, and the others go on
        return row(error=f"{type(error).__name__}: {error}", measures=None)
    return row(error=None, measures=measures, scores=scores)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, and what runs graphs side by side, use one thread for as long as the block runs."""
    import torch

    threads, before = torch.get_num_threads(), os.environ.get(WORKERS_VARIABLE)
    torch.set_num_threads(1)
    os.environ[WORKERS_VARIABLE] = "1"
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        os.environ.pop(WORKERS_VARIABLE)
        os.environ.update({WORKERS_VARIABLE: before} if before is not None else {})


def _key_of(job: Job, dataset: Dataset, data_hash: str) -> str:
    recipe = job.variant.of(load_recipe(job.recipe), job.seed)
    names = [sample.name for sample in drawn(dataset, job.shots, job.seed, job.class_shots).samples]
    text = "\n".join((recipe.sha256, data_hash, job.part, job.variant.label, *names))
    return hashlib.sha256(text.encode()).hexdigest()


def _trained(job: Job) -> tuple[Measures, Scores]:
    loaded = job.variant.of(load_recipe(job.recipe), job.seed)
    dataset = drawn(load_grouped(loaded)[0], job.shots, job.seed, job.class_shots)
    for module in _NEEDED[job.variant.method.split(".")[0]]:  # imported before the clock
        import_module(module)
    start = time.process_time()
    deployed = deployable(loaded, dataset, Journal(SilentProgress()))
    fit_s = time.process_time() - start
    found = judged(Graph(deployed.model), deployed.references.reader, dataset.select("test"))
    return measured(found, deployed.contract, fit_s, len(deployed.model) / 1e6)
