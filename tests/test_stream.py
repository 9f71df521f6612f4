"""Many frames: together in one run, or as they come, in threads; in order, and nothing is left behind."""

import itertools
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from lineside.runtime import FrameError, Inspector, UsageError
from lineside.stream import in_order


def frame_of(red: int, size_hw: tuple[int, int] = (12, 20)) -> np.ndarray:
    """A flat frame with the score red - 90."""
    return np.full((*size_hw, 3), (red, 50, 90), np.uint8)


def mixed(n: int) -> list[np.ndarray]:
    """Frames of three sizes in turns, each with its own score."""
    return [frame_of(20 + i, ((12, 20), (9, 7), (12, 21))[i % 3]) for i in range(n)]


def scores(frames: list[np.ndarray]) -> list[float]:
    """Their scores, computed by hand."""
    return [float(frame[0, 0, 0]) - 90.0 for frame in frames]


class Source:
    """A source that counts what was taken of it, and knows whether it was closed."""

    def __init__(self, n: int | None = None, fails: bool = False) -> None:
        self.taken, self.closed, self._n, self._fails = 0, threading.Event(), n, fails

    def __iter__(self) -> Iterator[np.ndarray]:
        for i in itertools.count():
            if i == self._n:
                if self._fails:
                    raise OSError("the camera was unplugged")
                return
            self.taken += 1
            yield frame_of(i % 200)

    def close(self) -> None:
        """Close it."""
        self.closed.set()


def threads() -> set[str]:
    """Names of the stream's threads that live."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("lineside")}


# ---- many


@pytest.mark.parametrize("together", [1, 2, 4, 100])
def test_many_frames_of_many_sizes_keep_their_places(inspector: Inspector, together: int) -> None:
    """Whatever sizes come in whatever order, each result stands where its frame stood."""
    frames = mixed(11)
    results = inspector.inspect_many(iter(frames), together=together)
    assert [r.score for r in results] == pytest.approx(scores(frames))
    assert [r.frame_wh for r in results] == [(frame.shape[1], frame.shape[0]) for frame in frames]


def test_frames_of_one_size_share_runs(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five frames of one size and one of another take three runs where three go together, and say so by their time."""
    runs: list[int] = []
    run = type(inspector._graph).run
    monkeypatch.setattr(
        type(inspector._graph), "run", lambda graph, frames: runs.append(len(frames)) or run(graph, frames)
    )
    results = inspector.inspect_many([*[frame_of(100)] * 5, frame_of(100, (4, 4))], together=3)
    assert runs == [3, 2, 1]
    assert results[0].duration_ms == results[2].duration_ms


def test_no_frames_give_no_results(inspector: Inspector) -> None:
    """An empty list, or an empty batch, is judged at once."""
    assert inspector.inspect_many([]) == inspector.inspect_many(np.zeros((0, 4, 4, 3), np.uint8)) == []


def test_a_wrong_frame_among_many_is_named(inspector: Inspector) -> None:
    """The third is of another type: nothing is judged, and the error says which."""
    with pytest.raises(FrameError, match=r"frames\[2\]: .*4 channels"):
        inspector.inspect_many([frame_of(1), frame_of(2), np.zeros((4, 4, 4), np.uint8)])


def test_a_wrong_type_among_many_is_named(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third holds floats: the error says which, and the two before, of a size of their own, were not judged."""
    monkeypatch.setattr(type(inspector._graph), "run", lambda *_: pytest.fail("judged"))
    with pytest.raises(FrameError, match=r"frames\[2\]: Samples are float64, but a bit depth of 8 needs uint8"):
        inspector.inspect_many([frame_of(1), frame_of(2), np.zeros((4, 4, 3))])


def test_results_of_one_run_are_their_own(inspector: Inspector) -> None:
    """A later frame changes no earlier result, though the graph writes to the same memory each time."""
    first = inspector.inspect(frame_of(120))
    kept = first.anomaly_map.copy()
    inspector.inspect(frame_of(10))
    assert np.array_equal(first.anomaly_map, kept)
    assert first.embedding[0] == 120


# ---- as they come


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 4), (3, 2), (4, 9)])
def test_a_stream_is_its_frames_in_order(inspector: Inspector, workers: int, ahead: int) -> None:
    """However many threads judge, results come as the frames came; the source is closed and the threads are gone."""
    source = Source(50)
    results = list(inspector.inspect_stream(source, workers=workers, ahead=ahead))
    assert [r.score for r in results] == [i - 90.0 for i in range(50)]
    assert source.closed.is_set()
    assert not threads()


def test_no_more_is_read_than_was_said(inspector: Inspector) -> None:
    """A slow consumer holds the source back: what is taken of it stays `ahead` beyond what he took."""
    source = Source()
    stream = inspector.inspect_stream(source, workers=2, ahead=3)
    for number in range(1, 6):
        next(stream)
        time.sleep(0.05)  # time enough to read on, if nothing held it back
        assert source.taken <= number + 3
    stream.close()


@pytest.mark.parametrize("leave", ["close", "let go", "raise"])
def test_who_stops_early_leaves_no_thread(inspector: Inspector, leave: str) -> None:
    """Closed, dropped or left by an exception, an endless stream ends its threads and closes its source."""
    source = Source()
    stream = inspector.inspect_stream(source, workers=3, ahead=6)
    next(stream)
    assert threads()
    if leave == "close":
        stream.close()
    elif leave == "let go":
        del stream
    else:
        with pytest.raises(ZeroDivisionError):
            stream.throw(ZeroDivisionError())
    assert source.closed.is_set()
    assert not threads()


def test_a_stream_that_never_begins_starts_no_thread(inspector: Inspector) -> None:
    """Nothing is read before the first result is asked for."""
    source = Source()
    stream = inspector.inspect_stream(source)
    assert source.taken == 0
    assert not threads()
    stream.close()


def test_what_the_source_raises_comes_after_its_frames(inspector: Inspector) -> None:
    """The frames before the failure are judged, then the caller gets the very error."""
    source = Source(3, fails=True)
    stream = inspector.inspect_stream(source, workers=2, ahead=2)
    assert [next(stream).score for _ in range(3)] == [-90.0, -89.0, -88.0]
    with pytest.raises(OSError, match="unplugged"):
        next(stream)
    assert source.closed.is_set()
    assert not threads()


def test_a_wrong_frame_ends_the_stream_in_its_place(inspector: Inspector) -> None:
    """The result before it is handed out, the frame raises, and nothing goes on behind."""
    stream = inspector.inspect_stream(iter([frame_of(100), np.zeros((4, 4), np.uint8), frame_of(1)]))
    assert next(stream).score == 10.0
    with pytest.raises(FrameError, match="1 channels"):
        next(stream)
    assert not threads()
    with pytest.raises(StopIteration):
        next(stream)


def test_a_generator_is_closed_where_it_stands(inspector: Inspector) -> None:
    """A source that is a generator runs its own ending."""
    ended = threading.Event()

    def frames() -> Iterator[np.ndarray]:
        try:
            while True:
                yield frame_of(100)
        finally:
            ended.set()

    stream = inspector.inspect_stream(frames())
    next(stream)
    stream.close()
    assert ended.is_set()


def test_a_result_does_not_wait_for_the_next_frame(inspector: Inspector) -> None:
    """While the source waits for its next trigger, the last frame's result is there."""
    trigger = threading.Event()

    def frames() -> Iterator[np.ndarray]:
        yield frame_of(100)
        assert trigger.wait(30)
        yield frame_of(110)

    stream = inspector.inspect_stream(frames())
    assert next(stream).score == 10.0
    assert not trigger.is_set()
    trigger.set()
    assert [r.score for r in stream] == [20.0]


@pytest.mark.parametrize("stop", ["wrong frame", "close", "interrupt"])
def test_who_stops_does_not_wait_for_a_source_that_waits(inspector: Inspector, stop: str) -> None:
    """An error, a break and Ctrl-C come while the camera waits for its trigger; it is closed when that comes."""
    trigger, ended = threading.Event(), threading.Event()

    def frames() -> Iterator[np.ndarray]:
        try:
            yield frame_of(100)
            if stop == "wrong frame":
                yield np.zeros((4, 4), np.uint8)
            trigger.wait(60)
            yield frame_of(110)
        finally:
            ended.set()

    stream = inspector.inspect_stream(frames(), ahead=3)
    assert next(stream).score == 10.0
    begun = time.monotonic()
    if stop == "wrong frame":
        with pytest.raises(FrameError, match="1 channels"):
            next(stream)
    elif stop == "close":
        stream.close()
    else:
        pressed = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        was = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        pressed.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                next(stream)
        finally:
            signal.signal(signal.SIGINT, was)
    assert time.monotonic() - begun < 30
    assert not ended.is_set()
    assert threads() == {"lineside-reader"}
    trigger.set()
    assert ended.wait(30)
    for thread in threading.enumerate():
        if thread.name == "lineside-reader":
            thread.join(30)
    assert not threads()


def test_a_source_that_fails_to_close_says_so() -> None:
    """An error in closing reaches the caller too."""

    class Stuck(Source):
        def close(self) -> None:
            raise OSError("cannot be released")

    stream = in_order(Stuck(2), len, workers=1, ahead=1)
    assert [next(stream), next(stream)] == [12, 12]
    with pytest.raises(OSError, match="released"):
        next(stream)


@pytest.mark.parametrize("name", ["workers", "ahead"])
def test_a_stream_without_workers_is_refused(inspector: Inspector, name: str) -> None:
    """At once, not with the first result."""
    with pytest.raises(UsageError, match=f"{name} must be 1 or more, found 0"):
        inspector.inspect_stream([], **{name: 0})
    with pytest.raises(UsageError, match="together must be 1 or more, found -1"):
        inspector.inspect_many([frame_of(1)], together=-1)
    with pytest.raises(UsageError, match="together must be 1 or more, found 0"):
        inspector.inspect_many([], together=0)


def test_streams_share_an_inspector(inspector: Inspector) -> None:
    """Four streams at once, each with two workers, do not mix their results."""
    found: dict[int, list[float]] = {}

    def follow(number: int) -> None:
        stream = inspector.inspect_stream((frame_of(number * 20 + i % 7) for i in range(60)), workers=2)
        found[number] = [result.score for result in stream]

    followers = [threading.Thread(target=follow, args=(number,)) for number in range(4)]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()
    assert found == {number: [number * 20 + i % 7 - 90.0 for i in range(60)] for number in range(4)}
