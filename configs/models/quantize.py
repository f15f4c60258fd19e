"""Weights in 8 bits, with little lost.

ONNX Runtime quantises what a weight is multiplied with as it comes, with one range for all of a call's
tokens. A few input channels are far larger than the others and take that range for themselves. So
each channel is first divided by a power of its size over some texts, and the weight multiplied by it
(SmoothQuant, arXiv 2211.10438), and the product that suffers most keeps its precision.
"""

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

# More of it evens the inputs out and makes the weights uneven; chosen by trying.
STRENGTH = 0.3


def products(model):
    """The nodes that multiply something with a weight."""
    weights = {it.name for it in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]


def sizes(model, texts):
    """The largest value in each channel of what weights are multiplied with, over texts as lists of
    token ids."""
    names = list(dict.fromkeys(node.input[0] for node in products(model)))
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    probed.graph.output.extend(helper.make_tensor_value_info(it, TensorProto.FLOAT, None) for it in names)
    session = onnxruntime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = {}
    for text in texts:
        ids = np.array([text], np.int64)
        ones, zeros = np.ones_like(ids), np.zeros_like(ids)
        feeds = {"input_ids": ids, "attention_mask": ones, "token_type_ids": zeros}
        for name, value in zip(names, session.run(names, feeds)):
            largest[name] = np.maximum(largest.get(name, 0), np.abs(value[0]).max(0))
    return largest


def smoothed(model, texts):
    """The same model, with the inputs of its products evened out and the weights the other way."""
    weights = {it.name: it for it in model.graph.initializer}
    scales = {}
    for name, largest in sizes(model, texts).items():
        scale = np.maximum(largest, 1e-3) ** STRENGTH
        scales[name] = scale / np.exp(np.log(scale).mean())
    multiplied = {node.name for node in products(model)}
    nodes, evened = [], set()
    for node in model.graph.node:
        if node.name in multiplied:
            name, weight = node.input[0], weights[node.input[1]]
            scale, node.input[0] = scales[name], f"{name}.evened"
            array = numpy_helper.to_array(weight) * scale[:, None]
            weight.CopyFrom(numpy_helper.from_array(array.astype(np.float32), weight.name))
            if name not in evened:
                evened.add(name)
                factor = numpy_helper.from_array((1 / scale).astype(np.float32), f"{name}.factor")
                model.graph.initializer.append(factor)
                inputs = [name, factor.name]
                nodes.append(helper.make_node("Mul", inputs, [node.input[0]], name=f"{name}.even"))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def quantize(graph, texts, precise, path):
    """Writes the model `graph` to `path` with its weights in 8 bits per output channel, except those
    called `precise`; `texts` are lists of token ids."""
    model = smoothed(graph.model(), texts)
    kept = [node.name for node in model.graph.node if set(node.input) & set(precise)]
    # It advises to optimise first, which changes nothing here: the graph is written as it shall be.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        onnx.save(model, whole)
        quantize_dynamic(
            whole,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=kept,
            # Of what comes out of fused operators, which shape inference knows nothing about.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
