"""Videos, cameras and streams: real files written by OpenCV, and a camera that is made up."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lineside.capture.source import SourceOptions, open_source
from lineside.errors import ImageError, StorageError

FRAMES = 40


def write_video(path: Path, frames: int = FRAMES) -> Path:
    """Write a video whose frame i is flat at grey level 5 i, red 20 above."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full((48, 64, 3), (5 * i, 5 * i, 5 * i + 20), np.uint8))
    writer.release()
    return path


class FakeCamera:
    """Gives frames of a growing level; says no before the first, and after the last."""

    def __init__(
        self, frames: int = 10**9, *, opens: bool = True, late: int = 0, frame: npt.NDArray[np.generic] | None = None
    ) -> None:
        self.frames, self.opens, self.late, self.frame = frames, opens, late, frame
        self.given = 0
        self.released = False
        self.asked: list[int | str] = []

    def __call__(self, source: int | str) -> "FakeCamera":
        """Be opened."""
        self.asked.append(source)
        return self

    def isOpened(self) -> bool:
        """Whether it opens."""
        return self.opens

    def grab(self) -> bool:
        """Go on."""
        if self.late:
            self.late -= 1
            return False
        self.given += 1
        return self.given <= self.frames

    def retrieve(self) -> tuple[bool, npt.NDArray[np.generic] | None]:
        """Give the frame: blue 3, green 2, red the number of the frame."""
        if self.frame is not None:
            return True, self.frame
        return True, np.full((4, 6, 3), (3, 2, self.given), np.uint8)

    def get(self, prop: int, /) -> float:
        """Know the exposure alone."""
        return -6.0 if prop == cv2.CAP_PROP_EXPOSURE else -1.0

    def getBackendName(self) -> str:
        """A driver's name."""
        return "FAKE"

    def release(self) -> None:
        """Let go."""
        self.released = True


class FakeClock:
    """A time that passes only while one waits."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.time

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


def with_camera(camera: FakeCamera, step: int = 1) -> SourceOptions:
    """Options that open the made-up camera, and never really wait."""
    clock = FakeClock()
    return SourceOptions(step=step, opener=camera, clock=(clock.now, clock.wait))


# ---- videos


@pytest.mark.parametrize("step", [1, 7, 100])
def test_every_nth_frame_of_a_video(tmp_path: Path, step: int) -> None:
    """From the first on, red first, with its place in the video."""
    shots = list(open_source(str(write_video(tmp_path / "a.avi")), SourceOptions(step=step)))
    assert [shot.index for shot in shots] == list(range(0, FRAMES, step))
    for shot in shots:
        assert shot.samples.shape == (48, 64, 3)
        assert shot.samples[0, 0].tolist() == pytest.approx(
            [5 * shot.index + 20, 5 * shot.index, 5 * shot.index], abs=4
        )  # 4: JPEG
        assert shot.video_ms == pytest.approx(40.0 * shot.index, abs=1)
        assert shot.time is None


def test_a_video_with_an_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Per cent signs, colons and spaces are no sequence and no protocol."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.avi", 3).rename("a %03d [x].avi")
    assert len(list(open_source("a %03d [x].avi"))) == 3


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello" * 100])
def test_what_is_no_video_cannot_be_opened(tmp_path: Path, content: bytes) -> None:
    """Exit code 3."""
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(ImageError, match="cannot be opened as a video"):
        list(open_source(str(tmp_path / "a.avi")))


def test_a_video_that_was_cut_off_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    """The frames before the cut come; then it is an error, not an end."""
    path = write_video(tmp_path / "a.avi")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    seen: list[int] = []
    with pytest.raises(ImageError, match=f"of the {FRAMES} frames that its header announces"):
        seen.extend(shot.index for shot in open_source(str(path)))
    assert 0 < len(seen) < FRAMES
    assert seen == list(range(len(seen)))


# ---- cameras and streams


def test_a_camera_gives_frames_until_one_stops() -> None:
    """Red first, with time and the driver's exposure; closing lets go of the camera."""
    camera = FakeCamera(late=3)
    shots = open_source("camera:2", with_camera(camera, step=5))
    first, second = next(shots), next(shots)
    assert camera.asked == [2]
    assert (first.index, second.index) == (0, 5)
    assert second.samples[0, 0].tolist() == [6, 2, 3]
    assert first.time is not None
    assert first.driver_exposure == "-6 (FAKE)"
    assert not camera.released
    shots.close()
    assert camera.released


@pytest.mark.parametrize("source", ["camera:0", "rtsp://me:secret@host/1"])
@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (FakeCamera(opens=False), "cannot be opened"),
        (FakeCamera(0), "gave no frame within 5 s"),
        (FakeCamera(frame=np.zeros((4, 6, 2), np.uint8)), "gave no frame"),
        (FakeCamera(frame=np.zeros((0, 6, 3), np.uint8)), "gave no frame"),
    ],
)
def test_a_camera_without_a_frame_is_an_error(source: str, camera: FakeCamera, words: str) -> None:
    """Exit code 4, and the camera is let go of; a password is not repeated."""
    with pytest.raises(StorageError, match=words) as error:
        next(open_source(source, with_camera(camera)))
    assert camera.released
    assert "secret" not in error.value.message


def test_a_stream_that_breaks_is_an_error_after_its_frames() -> None:
    """No frame is no end: a stream does not end by itself."""
    shots = open_source("rtsp://host/1", with_camera(FakeCamera(3)))
    assert [next(shots).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StorageError, match="no more frames after frame 2"):
        next(shots)


def test_a_grey_camera_of_16_bits() -> None:
    """Two dimensions become one channel; the samples stay."""
    grey = np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000
    shot = next(open_source("camera:0", with_camera(FakeCamera(frame=grey))))
    assert np.array_equal(shot.samples, grey[:, :, None])
    assert not np.shares_memory(shot.samples, grey)
