"""Writes ONNX graphs: names for values, weights stored once, and the layers that transformers share."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9
MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators


class Graph:
    """A graph in the making. Every method answers the name of the value that it added."""

    def __init__(self, name):
        self.name = name
        self.inputs, self.outputs, self.nodes = [], [], []
        self.initializers = {}
        self.domains = {""}

    def input(self, name, kind=TensorProto.INT64, shape=("batch", "sequence")):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value, name, shape, kind=TensorProto.FLOAT):
        """Gives the graph an output called `name` that is `value`."""
        self.op("Identity", [value], outputs=[name])
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def weight(self, name, array):
        """A constant. The same name means the same constant."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def ints(self, *values):
        """A constant list of integers, as shapes and axes are given."""
        return self.weight("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def number(self, value):
        return self.weight(f"number_{value}", np.array(value, np.float32))

    def op(self, kind, inputs, domain="", outputs=None, **attributes):
        outputs = outputs or [f"{kind.lower()}_{len(self.nodes)}"]
        node = helper.make_node(kind, inputs, outputs, name=f"node_{len(self.nodes)}", domain=domain, **attributes)
        self.nodes.append(node)
        self.domains.add(domain)
        return outputs[0]

    def linear(self, x, name, weight, bias=None):
        """`x @ weight + bias`; the weight is inputs × outputs."""
        x = self.op("MatMul", [x, self.weight(f"{name}.weight", weight)])
        return x if bias is None else self.op("Add", [x, self.weight(f"{name}.bias", bias)])

    def layer_norm(self, x, name, gain, bias, epsilon):
        gain, bias = self.weight(f"{name}.weight", gain), self.weight(f"{name}.bias", bias)
        return self.op("LayerNormalization", [x, gain, bias], axis=-1, epsilon=epsilon)

    def model(self):
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, list(self.initializers.values())
        )
        opsets = [helper.make_opsetid(domain, 1 if domain else OPSET) for domain in sorted(self.domains)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="routir-rt")
        # The checker knows the standard's operators alone.
        if self.domains == {""}:
            onnx.checker.check_model(model, full_check=True)
        return model

    def save(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model(), path)
