"""Results of the images that a report may show, kept while a run goes on: the report need not judge them again.

Which images it shows is known at the end. So of each verdict those with the highest scores are kept, as the report
prefers them; the few that it shows beside, such as defects with a low score, are judged once more. Keeping all would
take a map of some kilobytes for each image of a year.
"""

import heapq
import threading
from itertools import count

from lineside.batch.summary import OTHERS_SHOWN
from lineside.contract import Verdict
from lineside.runtime import Result

MOST_BYTES = 16_000_000
"""Of the anomaly maps of one verdict."""


class KeptResults:
    """Results by path. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock, self._order = threading.Lock(), count()
        self._heaps: dict[Verdict, list[tuple[float, int, str]]] = {verdict: [] for verdict in Verdict}
        self._results: dict[str, Result] = {}

    def add(self, path: str, result: Result) -> None:
        """Keep a result as long as it is among the highest of its verdict."""
        most = max(1, min(OTHERS_SHOWN, MOST_BYTES // result.anomaly_map.nbytes))
        with self._lock:
            heap = self._heaps[result.verdict]
            heapq.heappush(heap, (result.score, next(self._order), path))
            self._results[path] = result
            while len(heap) > most:
                del self._results[heapq.heappop(heap)[2]]

    def get(self, path: str) -> Result | None:
        """Return the result of an image, or None where it was not kept."""
        return self._results.get(path)
