"""Transformers of two layers with random weights, as ONNX, in the layouts that exporters write.

Small enough to be made in a moment, and random enough that a wrong mask, position, segment or
padding changes every number."""

import sys
import zlib
from pathlib import Path

import numpy as np
from onnx import TensorProto

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "configs/models"))
from onnx_graph import Graph  # noqa: E402

WIDTH, HEADS, LAYERS, POSITIONS = 16, 2, 2, 512
NEVER = -10000.0  # added to the score of what must not be attended to


class Transformer:
    """Adds layers to a graph. Weights depend on the seed and on their names alone, so two graphs of
    one seed that use the same names are one model in two files."""

    def __init__(self, seed, graph):
        self.seed, self.graph = seed, graph

    def random(self, name, *shape, scale=1.0):
        rng = np.random.default_rng([zlib.crc32(self.seed.encode()), zlib.crc32(name.encode())])
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    def table(self, name, rows, at):
        return self.graph.op("Gather", [self.graph.weight(name, self.random(name, rows, WIDTH)), at])

    def linear(self, x, name, to, width=WIDTH):
        weight = self.random(f"{name}.weight", width, to, scale=1.5 / width**0.5)
        return self.graph.linear(x, name, weight, self.random(f"{name}.bias", to, scale=0.3))

    def residual(self, x, change, name):
        gain = 1 + self.random(f"{name}.gain", WIDTH, scale=0.1)
        bias = self.random(f"{name}.shift", WIDTH, scale=0.1)
        return self.graph.layer_norm(self.graph.op("Add", [x, change]), name, gain, bias, 1e-6)

    def split(self, x, name, order=(0, 2, 1, 3)):
        heads = self.graph.op(
            "Reshape", [self.linear(x, name, WIDTH), self.graph.ints(0, 0, HEADS, WIDTH // HEADS)]
        )
        return self.graph.op("Transpose", [heads], perm=order)

    def attention(self, name, x, memory, mask, past=None):
        """Of `x` to `memory`; `past` names kept keys and values that go before."""
        op = self.graph.op
        query, key, value = self.split(x, f"{name}.q"), self.split(memory, f"{name}.k"), self.split(memory, f"{name}.v")
        if past:
            key, value = op("Concat", [past[0], key], axis=2), op("Concat", [past[1], value], axis=2)
        scores = op("MatMul", [query, op("Transpose", [key], perm=[0, 1, 3, 2])])
        scores = op("Add", [op("Mul", [scores, self.graph.number((HEADS / WIDTH) ** 0.5)]), mask])
        mixed = op("MatMul", [op("Softmax", [scores], axis=-1), value])
        mixed = op("Reshape", [op("Transpose", [mixed], perm=[0, 2, 1, 3]), self.graph.ints(0, 0, WIDTH)])
        return self.linear(mixed, f"{name}.o", WIDTH), key, value

    def feed_forward(self, x, name):
        wide = self.graph.op("Tanh", [self.linear(x, f"{name}.wide", 2 * WIDTH)])
        return self.linear(wide, f"{name}.narrow", WIDTH, 2 * WIDTH)

    def positions(self, ids):
        """0, 1, 2, … for the columns of `ids`."""
        length = self.graph.op("Squeeze", [self.graph.op("Shape", [ids], start=1, end=2)])
        start, step = (self.graph.weight(f"int_{n}", np.array(n, np.int64)) for n in (0, 1))
        return self.graph.op("Range", [start, length, step])

    def padding(self, mask):
        """What to add to scores so that padding is not attended to; batch × 1 × 1 × sequence."""
        op = self.graph.op
        mask = op("Cast", [op("Unsqueeze", [mask, self.graph.ints(1, 2)])], to=TensorProto.FLOAT)
        return op("Mul", [op("Sub", [self.graph.number(1.0), mask]), self.graph.number(NEVER)])

    def causal(self, ids):
        """What to add so that no token attends to later ones; sequence × sequence."""
        op, at = self.graph.op, self.positions(ids)
        later = op("Less", [op("Unsqueeze", [at, self.graph.ints(1)]), at])
        return op("Mul", [op("Cast", [later], to=TensorProto.FLOAT), self.graph.number(NEVER)])

    def encoder(self, vocabulary, ids, mask, types=None, positions=None, causal=False, pasts=None):
        """Hidden states; with `pasts`, the names of kept keys and values of each layer, also the new."""
        x = self.table("words", vocabulary, ids)
        x = self.graph.op("Add", [x, self.table("positions", POSITIONS, positions or self.positions(ids))])
        if types:
            x = self.graph.op("Add", [x, self.table("types", 2, types)])
        allowed = self.padding(mask)
        if causal:
            allowed = self.graph.op("Add", [allowed, self.causal(ids)])
        kept = []
        for layer in range(LAYERS):
            name = f"encoder.{layer}"
            past = pasts[layer] if pasts else None
            change, key, value = self.attention(f"{name}.self", x, x, allowed, past)
            kept.append((key, value))
            x = self.residual(x, change, f"{name}.first")
            x = self.residual(x, self.feed_forward(x, name), f"{name}.second")
        return (x, kept) if pasts else x

    def decoder(self, vocabulary, ids, memory, memory_mask):
        """Scores of the next token of `ids`, which attend to `memory`."""
        x = self.table("words", vocabulary, ids)
        x = self.graph.op("Add", [x, self.table("decoder.positions", POSITIONS, self.positions(ids))])
        before, read = self.causal(ids), self.padding(memory_mask)
        for layer in range(LAYERS):
            name = f"decoder.{layer}"
            x = self.residual(x, self.attention(f"{name}.self", x, x, before)[0], f"{name}.first")
            x = self.residual(x, self.attention(f"{name}.cross", x, memory, read)[0], f"{name}.second")
            x = self.residual(x, self.feed_forward(x, name), f"{name}.third")
        return self.linear(x, "vocabulary", vocabulary)


def encoder(seed, vocabulary, head, path, inputs=("input_ids", "attention_mask", "token_type_ids"), causal=False):
    """An encoder with one of the heads below."""
    graph = Graph(seed)
    ids, mask, *more = (graph.input(name) for name in inputs)
    more = dict(zip(inputs[2:], more))
    transformer = Transformer(seed, graph)
    hidden = transformer.encoder(
        vocabulary, ids, mask, more.get("token_type_ids"), more.get("position_ids"), causal
    )
    head(transformer, hidden)
    graph.save(path)


def hidden_states(transformer, hidden):
    transformer.graph.output(hidden, "last_hidden_state", ["batch", "sequence", WIDTH])


def projected(to):
    def head(transformer, hidden):
        transformer.graph.output(transformer.linear(hidden, "projection", to), "contextual", ["batch", "sequence", to])

    return head


def vocabulary_scores(vocabulary):
    def head(transformer, hidden):
        scores = transformer.linear(hidden, "vocabulary", vocabulary)
        transformer.graph.output(scores, "logits", ["batch", "sequence", vocabulary])

    return head


def labels(count):
    """A classifier over the first token."""

    def head(transformer, hidden):
        graph = transformer.graph
        first = graph.op("Gather", [hidden, graph.weight("int_0", np.array(0, np.int64))], axis=1)
        pooled = graph.op("Tanh", [transformer.linear(first, "pooler", WIDTH)])
        graph.output(transformer.linear(pooled, "classifier", count), "logits", ["batch", count])

    return head


def causal_with_choice(seed, vocabulary, path):
    """A causal model that is told for how many last tokens scores are wanted."""
    graph = Graph(seed)
    ids, mask, positions = (graph.input(name) for name in ("input_ids", "attention_mask", "position_ids"))
    keep = graph.input("num_logits_to_keep", shape=())
    transformer = Transformer(seed, graph)
    hidden = transformer.encoder(vocabulary, ids, mask, None, positions, True)
    start = graph.op("Unsqueeze", [graph.op("Neg", [keep]), graph.ints(0)])
    hidden = graph.op("Slice", [hidden, start, graph.ints(2**31), graph.ints(1)])
    scores = transformer.linear(hidden, "vocabulary", vocabulary)
    graph.output(scores, "logits", ["batch", "kept", vocabulary])
    graph.save(path)


def causal_with_cache(seed, vocabulary, head, path):
    """A causal model that also takes and answers the keys and values of tokens before, as generation
    wants them."""
    graph = Graph(seed)
    ids, positions = graph.input("input_ids"), graph.input("position_ids")
    mask = graph.input("attention_mask", shape=("batch", "all"))
    shape = ["batch", HEADS, "past", WIDTH // HEADS]
    pasts = [
        tuple(graph.input(f"past_key_values.{layer}.{kind}", TensorProto.FLOAT, shape) for kind in ("key", "value"))
        for layer in range(LAYERS)
    ]
    transformer = Transformer(seed, graph)
    hidden, kept = transformer.encoder(vocabulary, ids, mask, None, positions, True, pasts)
    head(transformer, hidden)
    for layer, pair in enumerate(kept):
        for kind, value in zip(("key", "value"), pair):
            graph.output(value, f"present.{layer}.{kind}", ["batch", HEADS, "all", WIDTH // HEADS])
    graph.save(path)


def sequence_to_sequence(seed, vocabulary, path):
    """Encoder and decoder as one graph."""
    graph = Graph(seed)
    ids, mask = graph.input("input_ids"), graph.input("attention_mask")
    started = graph.input("decoder_input_ids", shape=("batch", "decoder_sequence"))
    transformer = Transformer(seed, graph)
    memory = transformer.encoder(vocabulary, ids, mask)
    scores = transformer.decoder(vocabulary, started, memory, mask)
    graph.output(scores, "logits", ["batch", "decoder_sequence", vocabulary])
    graph.save(path)


def split_sequence_to_sequence(seed, vocabulary, encoder_path, decoder_path):
    """The same model as two graphs."""
    encoder(seed, vocabulary, hidden_states, encoder_path, inputs=("input_ids", "attention_mask"))
    graph = Graph(seed)
    mask = graph.input("encoder_attention_mask", shape=("batch", "encoder_sequence"))
    ids = graph.input("input_ids")
    memory = graph.input("encoder_hidden_states", TensorProto.FLOAT, ("batch", "encoder_sequence", WIDTH))
    scores = Transformer(seed, graph).decoder(vocabulary, ids, memory, mask)
    graph.output(scores, "logits", ["batch", "sequence", vocabulary])
    graph.save(decoder_path)
