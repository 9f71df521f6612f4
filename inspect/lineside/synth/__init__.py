"""The seeded renderer of synthetic parts: pictures with exact masks and true poses.

It makes ``sample_data/`` and the pictures that the tests use. It needs numpy and cv2 alone. Rejected: rendering with a
3-D package (a heavy dependency for two flat parts), and pasting textures (no true light, no true pose).
"""

from __future__ import annotations

from lineside.synth.dataset import write_sample_data
from lineside.synth.render import DEFECTS, PARTS, render
from lineside.synth.scene import Light, Pose, RenderedPart

__all__ = ["DEFECTS", "PARTS", "Light", "Pose", "RenderedPart", "render", "write_sample_data"]
