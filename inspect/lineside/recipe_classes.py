"""The recipe's block on defect classes: how they are learnt from the images of train/<class>."""

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictStr

from lineside.recipe_block import Block, key

Episodes = Literal["rendered"] | Annotated[tuple[Annotated[StrictStr, Field(min_length=1)], ...], Field(min_length=1)]


class Classes(Block):
    """How a defect's class is told."""

    method: Literal["auto", "none", "prototype", "lda", "logistic", "finetune", "reptile", "anil"] = key(
        "auto",
        "auto, none, prototype, lda, logistic, finetune, reptile or anil",
        "How classes are told apart: nearest prototype, shrunk linear discriminant analysis, logistic regression, "
        "adapters behind the backbone that are fine-tuned in a branch of their own (from 20 images of each class on), "
        "or one that was meta-learned on other parts. auto: what cross-validation finds best among "
        "those that so few images allow. none: classes are not told.",
    )
    unknown: Annotated[StrictFloat, Field(ge=0, lt=1)] = key(
        0.05,
        "a number from 0 up to 1, 1 excluded, such as 0.05",
        "A defect is called unknown where its p-value of belonging to the class is below this: the share of defects of "
        "known classes that may be called unknown. 0: none is.",
        "share of defects of known classes",
    )
    episodes: Episodes = key(
        "rendered",
        "rendered, or a list of one or more recipe folders relative to this file",
        "What reptile and anil learn to learn from: rendered defects, or the classes of other recipes.",
    )
