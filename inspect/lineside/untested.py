"""What nobody tested of a model, as far as its contract tells: for card and reports alike."""

from collections.abc import Iterator

from lineside.contract import Contract


def untested(contract: Contract) -> Iterator[str]:
    """Say what was not tested, one sentence each."""
    yield "Light, pose and picture quality beyond those of the images at hand were not tested."
    if all(bounds == (None, None) for bounds in contract.quality_limits):
        yield "The gate is off: a bad picture gets a verdict."
    else:
        yield "The gate measures what its numbers say: what spoils a picture and moves none of them passes."
    if contract.classes is not None:
        yield "Whether a defect of a kind without a folder in train/ is called unknown was not tested."
    if contract.normalisation.get("pose", "off") == "off":
        yield "Frames are not aligned: parts must lie as they do in the training images."
    if contract.normalisation.get("exposure", "off") != "off":
        yield (
            "Where the part fills the frame, a change of its brightness as a whole cannot be told from the lamp's: "
            "within the exposure's gain limits it is evened out."
        )
