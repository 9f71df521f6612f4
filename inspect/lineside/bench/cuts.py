"""Cutting the one graph at named inner values, so that each of its stages can be timed on its own.

Two kinds of cut. A *prefix* runs from the frame up to some values: what the line would pay if the graph ended there. A
*section* holds the nodes that one stage adds to those before it, and is fed what the stages before had computed:
differences between prefixes were rejected for these, since a stage of 1 ms drowns in the spread of two prefixes of
20 ms. What a section takes in is found from the graph, so that only the ends of the stages need names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineside.contract import OUTPUTS
from lineside.errors import UsageError

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Stage:
    """A stretch of the graph, known by the values that it ends with."""

    name: str
    ends: tuple[str, ...]
    """Names of values in the graph; a graph may lack some, and a stage that it lacks altogether is left out."""


FRONT_STAGES = (
    Stage("resize", ("middle",)),
    Stage("small image", ("small",)),
    Stage("pose search", ("matrix",)),
    Stage("light, working image", ("working", "region")),
    Stage("gate", ("front_gate", "front_quality", "gate", "quality")),
)
"""In the order of the graph: a value that two stages need is paid by the first. An end that needs the trunk's features
(the gate's last bit does) is no end of the front."""
TRUNK = Stage("trunk", tuple(f"tap{number}" for number in range(5)))
EMBEDDING = Stage("embedding", ("embedding",))
"""The graph's output: taps projected, averaged over neighbours, brought to one grid and added. What the comparison of
patches as they are needs beside that is the head's. A graph that names no taps computes this in its head."""
STAGES = (
    *FRONT_STAGES,
    TRUNK,
    EMBEDDING,
    Stage("head", ("score", "embedding", "golden_map")),
    Stage("map, decision", OUTPUTS),
)
_FRONT_OUTPUTS = ("pose", "transform")


@dataclass(frozen=True)
class Section:
    """The nodes of one stage as a model."""

    stage: str
    model: "onnx.ModelProto"
    inputs: tuple[str, ...]
    """Values of the whole graph that it is fed, the frame among them where it needs that."""
    ends: tuple[str, ...]


def front_ends(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Return the values that the whole front ends with; empty where the graph names none of them."""
    graph = _Graph(model)
    ends = [end for stage in FRONT_STAGES for end in graph.present(stage)]
    if not ends:
        return ()
    return (*ends, *(name for name in _FRONT_OUTPUTS if graph.in_front(name)))


def prefix(model: "onnx.ModelProto", ends: Sequence[str]) -> "onnx.ModelProto":
    """Return the model from its inputs to these values, inner ones or outputs; what they do not need is gone.

    Raises
    ------
    UsageError
        When the graph has no such value.
    """
    graph = _Graph(model)
    unknown = [name for name in ends if name not in graph.maker]
    if unknown:
        raise UsageError(f"The graph computes no value named {unknown[0]!r}.")
    return graph.part(sorted(graph.ancestors(ends)), ends, ())


def sections(model: "onnx.ModelProto", stages: Sequence[Stage] = STAGES) -> tuple[Section, ...]:
    """Split the graph into its stages.

    Parameters
    ----------
    model : onnx.ModelProto
        With its nodes in topological order, as the ONNX standard has it.
    stages : sequence of Stage
        In the order of the graph.

    Returns
    -------
    tuple of Section
        Those that the graph has, together every node that their ends need, each once.
    """
    graph = _Graph(model)
    done: set[int] = set()
    found = []
    for stage in stages:
        nodes = sorted(graph.ancestors(graph.present(stage)) - done)
        ends = [name for name in graph.present(stage) if graph.maker[name] in set(nodes)]
        if ends:
            inputs = graph.consumed(nodes, done)
            found.append(Section(stage.name, graph.part(nodes, ends, inputs), inputs, tuple(ends)))
            done.update(nodes)
    return tuple(found)


class _Graph:
    """Who makes and who needs which value of a model."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        self._model = model
        self._nodes = model.graph.node
        self.maker = {name: i for i, node in enumerate(self._nodes) for name in node.output if name}
        self._needs = [tuple(_names(node)) for node in self._nodes]
        self._given = {i.name for i in model.graph.input}
        self._fixed = {w.name for w in model.graph.initializer}
        self._taps = {self.maker[name] for name in TRUNK.ends if name in self.maker}

    def ancestors(self, ends: Sequence[str]) -> set[int]:
        """Return the nodes that these values need, those that make them included."""
        wanted = {self.maker[name] for name in ends}
        for i in range(max(wanted, default=-1), -1, -1):
            if i in wanted:
                wanted.update(self.maker[name] for name in self._needs[i] if name in self.maker)
        return wanted

    def in_front(self, name: str) -> bool:
        """Whether the graph computes a value without the trunk's features."""
        return name in self.maker and not self.ancestors([name]) & self._taps

    def present(self, stage: Stage) -> list[str]:
        """Return the ends of a stage that the graph has."""
        if stage in FRONT_STAGES:
            return [name for name in stage.ends if self.in_front(name)]
        if stage is EMBEDDING and not self._taps:
            return []
        return [name for name in stage.ends if name in self.maker]

    def consumed(self, nodes: Sequence[int], before: set[int]) -> tuple[str, ...]:
        """Return what some nodes take from nodes before them, and from the caller."""
        names = dict.fromkeys(name for i in nodes for name in self._needs[i])
        return tuple(
            name
            for name in names
            if self.maker.get(name) in before or (name in self._given and name not in self._fixed)
        )

    def part(self, nodes: Sequence[int], ends: Sequence[str], inner: Sequence[str]) -> "onnx.ModelProto":
        """Return some nodes as a model; `inner` are inputs of it that are no inputs of the graph."""
        import onnx

        needed = {name for i in nodes for name in self._needs[i]}
        graph, model = onnx.GraphProto(name="part"), self._model
        graph.node.extend(self._nodes[i] for i in nodes)
        graph.input.extend(item for item in model.graph.input if item.name in needed)
        graph.input.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in self._given)
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in ends)
        graph.initializer.extend(w for w in model.graph.initializer if w.name in needed)
        return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _names(node: "onnx.NodeProto") -> Iterator[str]:
    """Yield the values that a node takes, those of the bodies of loops and branches included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _names(inner)
