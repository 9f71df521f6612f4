"""What a training run tells whoever watches: stages in order, and steps within them."""

import time
from typing import Protocol


class Progress(Protocol):
    """A watcher. All calls come from the training's own thread but `step`, which may come from any."""

    def stage(self, name: str, steps: int | None) -> None:
        """A stage begins; `steps` is its length where it is known."""

    def step(self) -> None:
        """One step of the stage is done."""

    def note(self, text: str) -> None:
        """A decision was taken, in one sentence."""


class SilentProgress:
    """Watches nothing."""

    def stage(self, name: str, steps: int | None) -> None:
        """Ignore it."""

    def step(self) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""


class Journal:
    """Passes everything on to a watcher, and keeps the stages' times and the decisions for the record."""

    def __init__(self, watcher: Progress) -> None:
        self._watcher = watcher
        self._stages: list[tuple[str, float]] = []
        self.decisions: list[str] = []

    def stage(self, name: str, steps: int | None = None) -> None:
        """Begin a stage; the one before it ends here."""
        self._stages.append((name, time.perf_counter()))
        self._watcher.stage(name, steps)

    def step(self) -> None:
        """Pass a step on."""
        self._watcher.step()

    def note(self, text: str) -> None:
        """Keep a decision."""
        self.decisions.append(text)
        self._watcher.note(text)

    def seconds(self) -> tuple[tuple[str, float], ...]:
        """Return the stages so far with their durations in seconds."""
        ends = [start for _, start in self._stages[1:]] + [time.perf_counter()]
        return tuple((name, end - start) for (name, start), end in zip(self._stages, ends, strict=True))

    def apart(self) -> "Journal":
        """Return an empty journal for the same watcher, of a training that may not be the one."""
        return Journal(self._watcher)

    def adopt(self, other: "Journal", *, decisions: bool) -> None:
        """Take over the stages of another journal, and its decisions where that training is the one."""
        self._stages += other._stages
        if decisions:
            self.decisions += other.decisions
