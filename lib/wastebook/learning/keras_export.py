"""Keras backbones as ONNX, layer by layer: Keras' own export needs converters that do not know Keras 3.

Only the layers that the book's backbones are made of; another one is said by its name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wastebook.errors import WastebookError
from wastebook.learning.export import OPSET, keep_graph, weights_of
from wastebook.learning.keras_networks import BACKBONES, KerasBackbone, keras


def export_keras_model(
    backbone: KerasBackbone,
    weight: np.ndarray,
    bias: float,
    name: str,
    classes: list[str],
    card: dict[str, Any],
    file: Path,
) -> None:
    """Keep a Keras backbone under a head of two classes as `export.export_model` keeps a torch model.

    The logit of the second class is features @ `weight` (D,) + `bias`. WastebookError for a layer that this
    module does not know.
    """
    graph = _Graph()
    inner = next(layer for layer in backbone.network.layers if isinstance(layer, keras.Model))
    black, white = BACKBONES[backbone.name][1].preprocess_input(np.array([0.0, 255.0]))
    scaled = graph.add("Mul", ["pixels", graph.constant((white - black) / 255)])
    names = {id(inner.inputs[0]): graph.add("Add", [scaled, graph.constant(black)])}
    for layer in inner.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        names[id(layer.output)] = graph.layer(layer, [names[id(tensor)] for tensor in inputs])
    maps, pooled = (names[id(layer.output)] for layer in inner.layers[-2:])

    both = np.stack([-weight, weight]).astype(np.float32) / 2
    offset = np.array([-bias, bias], np.float32) / 2
    logits = graph.add("Gemm", [graph.add("Flatten", [pooled]), both, offset], transB=1)
    cooled = graph.add("Div", [logits, graph.constant(card.get("temperature", 1.0))])
    graph.add("Softmax", [cooled], output="probabilities", axis=1)
    graph.add("Relu", [graph.add("Conv", [maps, both[:, :, None, None]])], output="evidence")
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2]),
        helper.make_tensor_value_info("evidence", TensorProto.FLOAT, [1, 2, "rows", "columns"]),
    ]
    made = helper.make_graph(graph.nodes, name, [], outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    resizing = _area_resizing(backbone.image_size)
    size = [backbone.image_size] * 2
    facts: dict[str, Any] = {
        "name": name,
        "classes": classes,
        "card": card,
        "image_size": size,
        "resizing": "area",
    }
    facts["weights"] = weights_of(backbone)
    keep_graph(model, resizing.nodes, resizing.constants, file, facts)


class _Graph:
    """Nodes and constants as they come; maps are (1, channels, rows, columns)."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.prefix = prefix

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(self, kind: str, inputs: list[str | np.ndarray], output: str = "", **attributes: Any) -> str:
        named = [part if isinstance(part, str) else self.constant(part) for part in inputs]
        output = output or f"{self.prefix}{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, named, [output], **attributes))
        return output

    def layer(self, layer: Any, inputs: list[str]) -> str:
        """A Keras layer on these inputs, its activation with it."""
        kind = type(layer).__name__
        if kind not in LAYERS:
            raise WastebookError(f"The layer {layer.name} ({kind}) cannot be exported to ONNX yet.")
        output = LAYERS[kind](self, layer, inputs)
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if activation == "silu":
            return self.add("Mul", [output, self.add("Sigmoid", [output])])
        if activation in ("relu", "sigmoid"):
            return self.add(activation.capitalize(), [output])
        if activation != "linear":
            raise WastebookError(
                f"The activation {activation} of {layer.name} cannot be exported to ONNX yet."
            )
        return output


def _convolution(
    graph: _Graph, layer: Any, inputs: list[str], kernel: Any, bias: Any, depthwise: bool
) -> str:
    kernel = np.asarray(kernel).transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    if depthwise and kernel.shape[1] != 1:
        raise WastebookError(f"{layer.name} multiplies its channels, which cannot be exported to ONNX yet.")
    pointwise = kernel.shape[2:] == (1, 1) and type(layer).__name__ == "SeparableConv2D"
    biases = [] if bias is None else [np.asarray(bias)]
    return graph.add(
        "Conv",
        [*inputs, kernel, *biases],
        strides=[1, 1] if pointwise else list(layer.strides),
        auto_pad="SAME_UPPER" if layer.padding == "same" else "VALID",
        group=len(kernel) if depthwise else 1,
    )


def _separable(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    filtered = _convolution(graph, layer, inputs, layer.depthwise_kernel, None, True)
    return _convolution(graph, layer, [filtered], layer.pointwise_kernel, layer.bias, False)


def _normalised(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    moments = [layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance]
    return graph.add(
        "BatchNormalization", [*inputs, *(np.asarray(moment) for moment in moments)], epsilon=layer.epsilon
    )


def _scaled(graph: _Graph, inputs: list[str], scale: Any, offset: Any) -> str:
    scale, offset = (np.asarray(part, np.float32).reshape(-1, 1, 1) for part in (scale, offset))
    return graph.add("Add", [graph.add("Mul", [*inputs, scale]), offset])


def _standardised(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    mean, deviation = np.asarray(layer.mean), np.maximum(np.sqrt(np.asarray(layer.variance)), 1e-7)
    return _scaled(graph, inputs, 1 / deviation, -mean / deviation)


def _padded(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.padding
    return graph.add("Pad", [*inputs, graph.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)])


def _pooled(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    pad = "SAME_UPPER" if layer.padding == "same" else "VALID"
    return graph.add("MaxPool", [*inputs], kernel_shape=layer.pool_size, strides=layer.strides, auto_pad=pad)


LAYERS: dict[str, Callable[[_Graph, Any, list[str]], str]] = {
    "Activation": lambda graph, layer, inputs: inputs[0],
    "Add": lambda graph, layer, inputs: graph.add("Add", [*inputs]),
    "BatchNormalization": _normalised,
    "Conv2D": lambda graph, layer, inputs: _convolution(
        graph, layer, inputs, layer.kernel, layer.bias, False
    ),
    "DepthwiseConv2D": lambda graph, layer, inputs: _convolution(
        graph, layer, inputs, layer.kernel, layer.bias, True
    ),
    "Dropout": lambda graph, layer, inputs: inputs[0],
    "GlobalAveragePooling2D": lambda graph, layer, inputs: graph.add("GlobalAveragePool", [*inputs]),
    "MaxPooling2D": _pooled,
    "Multiply": lambda graph, layer, inputs: graph.add("Mul", [*inputs]),
    "Normalization": _standardised,
    "Rescaling": lambda graph, layer, inputs: _scaled(graph, inputs, layer.scale, layer.offset),
    "Reshape": lambda graph, layer, inputs: inputs[0],  # of pooled maps, which stay maps of one pixel here
    "SeparableConv2D": _separable,
    "ZeroPadding2D": _padded,
}


def _area_resizing(size: int) -> _Graph:
    """From `photo` to `pixels`, (1, 3, size, size) floats 0-255, as `photos.decode.resize` gives them: each
    pixel the mean of the area it covers where both sides shrink, else interpolated.

    ONNX has no such resizing, so it is two products with matrices of weights, made from the photo's size.
    """
    graph = _Graph("resize_")
    one, half, zero = (graph.constant(value) for value in (1, 0.5, 0))
    shape = graph.add("Cast", [graph.add("Shape", ["photo"])], to=TensorProto.FLOAT)
    sides = [graph.add("Gather", [shape, graph.constant(axis, np.int64)]) for axis in (0, 1)]
    wanted = graph.constant(size)
    short = graph.add("Min", [*sides])
    shrinks = graph.add("GreaterOrEqual", [short, wanted])
    places = graph.constant(np.arange(size)[:, None])
    matrices = []
    for side in sides:
        pixels = graph.add("Range", [zero, side, one])
        ratio = graph.add("Div", [side, wanted])
        start = graph.add("Mul", [places, ratio])
        first = graph.add("Max", [pixels, start])
        last = graph.add("Min", [graph.add("Add", [pixels, one]), graph.add("Add", [start, ratio])])
        area = graph.add("Div", [graph.add("Max", [graph.add("Sub", [last, first]), zero]), ratio])
        middle = graph.add("Sub", [graph.add("Mul", [graph.add("Add", [places, half]), ratio]), half])
        inside = graph.add("Max", [graph.add("Min", [middle, graph.add("Sub", [side, one])]), zero])
        distance = graph.add("Abs", [graph.add("Sub", [inside, pixels])])
        between = graph.add("Max", [graph.add("Sub", [one, distance]), zero])
        matrices.append(graph.add("Where", [shrinks, area, between]))
    values = graph.add("Cast", [graph.add("Transpose", ["photo"], perm=[2, 0, 1])], to=TensorProto.FLOAT)
    rows = graph.add("MatMul", [matrices[0], values])
    across = graph.add("MatMul", [rows, graph.add("Transpose", [matrices[1]], perm=[1, 0])])
    graph.add("Unsqueeze", [graph.add("Round", [across]), graph.constant([0], np.int64)], output="pixels")
    return graph
