"""The sentences that a text-prompt head compares images with.

After WinCLIP (Jeong et al., CVPR 2023, section 4.1): words for the state of a part, good and defective, each put into
sentences as they stand beside photographs. One sentence alone is a poor probe, since its wording decides as much as
its meaning; the mean over all of them says what they have in common. The states are the paper's; of its templates
those are kept that can be true of an inspection picture (no "jpeg corrupted photo", none of a size).
"""

from collections.abc import Sequence
from dataclasses import dataclass

GOOD_STATES = (
    "{}", "flawless {}", "perfect {}", "unblemished {}", "{} without flaw", "{} without defect", "{} without damage",
)  # fmt: skip
DEFECT_STATES = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = (
    "a photo of a {}.", "a photo of the {}.", "a cropped photo of a {}.", "a cropped photo of the {}.",
    "a close-up photo of a {}.", "a close-up photo of the {}.", "a bright photo of a {}.", "a bright photo of the {}.",
    "a dark photo of a {}.", "a dark photo of the {}.", "a blurry photo of a {}.", "a blurry photo of the {}.",
    "a photo of a {} for visual inspection.", "a photo of the {} for visual inspection.",
)  # fmt: skip


@dataclass(frozen=True)
class PromptTexts:
    """Phrases for both sides, as they stand in the sentences: "flawless bottle cap", "bottle cap with a scratch"."""

    good: tuple[str, ...]
    defect: tuple[str, ...]


def prompt_texts(part: str, good: Sequence[str], defect: Sequence[str]) -> PromptTexts:
    """Return the phrases for a part.

    Parameters
    ----------
    part : str
        The recipe's name of the part; hyphens and underscores become spaces.
    good, defect : sequence of str
        The recipe's own phrases; where a side has none, the states of WinCLIP with the part's name.
    """
    name = part.replace("_", " ").replace("-", " ").strip()
    return PromptTexts(
        tuple(good) or tuple(state.format(name) for state in GOOD_STATES),
        tuple(defect) or tuple(state.format(name) for state in DEFECT_STATES),
    )


def sentences(phrases: Sequence[str]) -> list[str]:
    """Put every phrase into every template."""
    return [template.replace("{}", phrase) for phrase in phrases for template in TEMPLATES]
