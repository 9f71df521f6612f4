"""What licences ask of whoever uses a model, in a sentence each, for the model card; what counts is their text."""

OBLIGATIONS = {
    "apache-2.0": "Copies carry the licence, copyright notices and NOTICE text, and changed files say so; its patent "
    "licence ends for who sues over patents in it.",
    "mit": "Copies carry its copyright and permission notice.",
    "bsd-2-clause": "Copies, binary ones too, carry its copyright notice, conditions and disclaimer.",
    "bsd-3-clause": "Copies, binary ones too, carry its copyright notice, conditions and disclaimer; its authors' "
    "names recommend no product without their leave.",
    "cc-by-4.0": "Copies name the authors, link the licence and say what was changed.",
    "cc-by-sa-4.0": "Copies name the authors, link the licence and say what was changed; what is made from it is "
    "passed on under the same licence.",
    "cc-by-nc-4.0": "No commercial use; copies name the authors, link the licence and say what was changed.",
    "gpl-3.0": "Who passes a work made with it on gives its whole source under the same licence.",
    "agpl-3.0": "Who passes a work made with it on, or lets people use it over a network, gives its whole source under "
    "the same licence.",
}
"""By SPDX identifier in lower case."""
IMAGENET = (
    "A weights licence speaks for the weights. The images of ImageNet, which some of them were trained on, come under "
    "terms of their own (research and teaching, not commercial); what follows from that for weights is not settled."
)


def obligation(licence: str) -> str:
    """Return what a licence asks, by its SPDX identifier; of others that its text must be read."""
    name = licence.lower().removesuffix("-only").removesuffix("-or-later")
    return OBLIGATIONS.get(name, "Not described here: read its text.")
