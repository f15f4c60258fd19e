"""Writes a tiny model of every architecture that the server runs, with what it must answer.

    .cache/models/venv/bin/python tests/models/tiny.py

Each folder of .cache/models/tiny has a graph with random weights, a tokenizer, the files that say
how the model is used, and expected.json: texts, their token ids, and the numbers that come out.
They are worked out here in the plainest way, apart from the code that they test: one text at a
time, so that nothing is ever padded, with the special tokens put around by hand.
Safe to run again: it does nothing when everything is there and made by these scripts.
"""

import json
import shutil
import string
from pathlib import Path

import numpy as np
import onnxruntime

import tiny_graphs as graphs
import tiny_tokenizers as tokenizers

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache/models/tiny"
SOURCES = [HERE / "tiny.py", HERE / "tiny_graphs.py", HERE / "tiny_tokenizers.py",
           HERE.parents[1] / "configs/models/onnx_graph.py"]  # fmt: skip
MAX_TOKENS = 24
PROJECTED = 8

QUERIES = ["what is honey", "tide of the moon?", "a", ""]
PASSAGES = [
    "Bees dance, and the others follow.",
    "",
    "The moon pulls at the sea; twice a day the tide is high.",
    "Ärger über 3 Käse [SEP] 😀 日本",
    "honey " * 40,
    "x",
    "Is it relevant? (yes): no.",
]
PAIRS = [[query, passage] for query in QUERIES for passage in PASSAGES] + [["query " * 30, "passage of the bees"]]
TEXTS = [*QUERIES, *PASSAGES]


class Folder:
    """A model's folder."""

    def __init__(self, name, tokenizer):
        self.path, self.tokenizer, self.sessions = CACHE.with_suffix(".new") / name, tokenizer, {}
        self.path.mkdir(parents=True)
        tokenizer.save(str(self.path / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()

    @property
    def vocabulary(self):
        return self.tokenizer.get_vocab_size()

    def id(self, token):
        return self.tokenizer.token_to_id(token)

    def pieces(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def write(self, name, content):
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text(json.dumps(content, ensure_ascii=False) + "\n")

    def run(self, graph="model.onnx", **feeds):
        """The first output for one text; feeds are lists of one row."""
        if graph not in self.sessions:
            self.sessions[graph] = onnxruntime.InferenceSession(self.path / graph)
        feeds = {name: np.array([row], np.float32 if np.ndim(row) > 1 else np.int64) for name, row in feeds.items()}
        return self.sessions[graph].run(None, feeds)[0][0].astype(np.float64)

    def encode(self, ids, segments=None):
        return self.run(input_ids=ids, attention_mask=[1] * len(ids), token_type_ids=segments or [0] * len(ids))

    def decode(self, ids):
        """Of a causal model."""
        return self.run(input_ids=ids, attention_mask=[1] * len(ids), position_ids=list(range(len(ids))))


def normalized(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def log_softmax(scores):
    scores = scores - scores.max()
    return scores - np.log(np.exp(scores).sum())


def sentence_files(folder, pooling, normalize, prompts=None):
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalize else [])]
    kind = "sentence_transformers.models."
    folder.write("modules.json", [
        {"idx": at, "name": str(at), "path": path, "type": kind + name} for at, (path, name) in enumerate(modules)
    ])  # fmt: skip
    folder.write("1_Pooling/config.json", {"word_embedding_dimension": graphs.WIDTH, f"pooling_mode_{pooling}": True})
    folder.write("sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})
    folder.write("config.json", {"model_type": "bert", "max_position_embeddings": graphs.POSITIONS})
    if prompts:
        folder.write("config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})


def bert_ids(folder, text, length=MAX_TOKENS, marker=()):
    inside = folder.pieces(text)[: length - 2 - len(marker)]
    return [folder.id("[CLS]"), *(folder.id(it) for it in marker), *inside, folder.id("[SEP]")]


def dense(name, pooling, normalize, pool):
    folder = Folder(name, tokenizers.word_piece())
    graphs.encoder(name, folder.vocabulary, graphs.hidden_states, folder.path / "model.onnx")
    sentence_files(folder, pooling, normalize)
    ids = [bert_ids(folder, text) for text in TEXTS]
    vectors = [pool(folder.encode(row)) for row in ids]
    if normalize:
        vectors = [normalized(vector) for vector in vectors]
    folder.write("expected.json", {"texts": TEXTS, "ids": ids, "vectors": [it.tolist() for it in vectors]})


def dense_last():
    """As Qwen3-Embedding: a causal model, the state of the last token, an instruction for queries; also
    with inputs for kept keys and values."""
    end, prompt = "<|endoftext|>", "Instruct: find passages\nQuery:"
    plain, cached = (Folder(name, tokenizers.byte_level(end)) for name in ("dense-last", "dense-cache"))
    inputs, head = ("input_ids", "attention_mask", "position_ids"), graphs.hidden_states
    graphs.encoder("dense-last", plain.vocabulary, head, plain.path / "model.onnx", inputs, True)
    graphs.causal_with_cache("dense-last", cached.vocabulary, head, cached.path / "model.onnx")
    ids = [[*plain.pieces(prompt + text)[:127], plain.id(end)] for text in TEXTS]
    vectors = [normalized(plain.decode(row)[-1]).tolist() for row in ids]
    for folder in (plain, cached):
        sentence_files(folder, "lasttoken", True, {"query": prompt, "document": ""})
        folder.write("tokenizer_config.json", {"padding_side": "left", "model_max_length": 512})
        folder.write("sentence_bert_config.json", {"max_seq_length": 128})
        folder.write("expected.json", {"prompt": "query", "texts": TEXTS, "ids": ids, "vectors": vectors})


def longest_first(first, second, room):
    """Both cut to `room` together: the longer one, and once they are equal, both."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


def cross_encoder(name, labels):
    folder = Folder(name, tokenizers.word_piece())
    graphs.encoder(name, folder.vocabulary, graphs.labels(labels), folder.path / "model.onnx")
    folder.write("config.json", {
        "model_type": "bert", "architectures": ["BertForSequenceClassification"],
        "max_position_embeddings": graphs.POSITIONS, "id2label": {str(at): f"LABEL_{at}" for at in range(labels)},
    })  # fmt: skip
    folder.write("tokenizer_config.json", {"model_max_length": MAX_TOKENS})
    ids, segments, logits = [], [], []
    for query, passage in PAIRS:
        first, second = longest_first(folder.pieces(query), folder.pieces(passage), MAX_TOKENS - 3)
        ids.append([folder.id("[CLS]"), *first, folder.id("[SEP]"), *second, folder.id("[SEP]")])
        segments.append([0] * (len(first) + 2) + [1] * (len(second) + 1))
        logits.append(folder.encode(ids[-1], segments[-1]))
    # The chance of the last label, before and after the logistic function.
    raw = [float(it[-1] - it[0] if labels == 2 else it[0]) for it in logits]
    chance = [float(1 / (1 + np.exp(-it))) for it in raw]
    folder.write("expected.json", {
        "pairs": PAIRS, "ids": ids, "segments": segments, "raw": raw, "sigmoid": chance
    })  # fmt: skip


def sequence_to_sequence():
    """As monoT5, as one graph and as two."""
    whole = Folder("seq2seq", tokenizers.unigram())
    split = Folder("seq2seq-split", tokenizers.unigram())
    graphs.sequence_to_sequence("seq2seq", whole.vocabulary, whole.path / "model.onnx")
    graphs.split_sequence_to_sequence(
        "seq2seq", split.vocabulary, split.path / "encoder_model.onnx", split.path / "decoder_model.onnx"
    )
    fixed = len(whole.pieces("Query:")) + len(whole.pieces("Document:")) + len(whole.pieces("Relevant:")) + 1
    room = MAX_TOKENS + fixed
    ids, scores = [], []
    for query, passage in PAIRS:
        # Blanks separate words and are no token, so the parts can be put together one by one.
        first, second = longest_first(whole.pieces(query.strip()), whole.pieces(passage.strip()), room - fixed)
        row = [*whole.pieces("Query:"), *first, *whole.pieces("Document:"), *second, *whole.pieces("Relevant:"), 1]
        ids.append(row)
        logits = whole.run(input_ids=row, attention_mask=[1] * len(row), decoder_input_ids=[0])[-1]
        memory = split.run("encoder_model.onnx", input_ids=row, attention_mask=[1] * len(row))
        again = split.run(
            "decoder_model.onnx", encoder_attention_mask=[1] * len(row), input_ids=[0], encoder_hidden_states=memory
        )[-1]
        assert np.allclose(logits, again, atol=1e-5)
        scores.append(float(log_softmax(logits[[whole.id("▁false"), whole.id("▁true")]])[1]))
    for folder in (whole, split):
        folder.write("config.json", {"model_type": "t5", "decoder_start_token_id": 0, "pad_token_id": 0})
        folder.write("expected.json", {"max_tokens": room, "pairs": PAIRS, "ids": ids, "scores": scores})


PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
TASK = "Given a web search query, retrieve relevant passages that answer the query"


def causal():
    """As Qwen3-Reranker; also with inputs for kept keys and values, and with scores of the last tokens
    alone."""
    names = ("causal", "causal-cache", "causal-last")
    plain, cached, last = (Folder(name, tokenizers.byte_level()) for name in names)
    inputs = ("input_ids", "attention_mask", "position_ids")
    head = graphs.vocabulary_scores(plain.vocabulary)
    graphs.encoder("causal", plain.vocabulary, head, plain.path / "model.onnx", inputs, True)
    graphs.causal_with_cache("causal", cached.vocabulary, head, cached.path / "model.onnx")
    graphs.causal_with_choice("causal", last.vocabulary, last.path / "model.onnx")
    before, after = plain.pieces(PREFIX), plain.pieces(SUFFIX)
    # Blanks belong to the words after them here, so a query and its passage are one text.
    longest = len(before) + len(plain.pieces(f"<Instruct>: {TASK}\n<Query>: what is honey\n<Document>: ")) + 60 + len(after)
    pairs, ids, scores = [pair for pair in PAIRS if len(pair[0]) < 40], [], []
    for query, passage in pairs:
        middle = plain.pieces(f"<Instruct>: {TASK}\n<Query>: {query}\n<Document>: {passage}")
        row = [*before, *middle[: longest - len(before) - len(after)], *after]
        ids.append(row)
        logits = plain.decode(row)[-1]
        scores.append(float(np.exp(log_softmax(logits[[plain.id("no"), plain.id("yes")]])[1])))
    for folder in (plain, cached, last):
        folder.write("config.json", {"model_type": "qwen3", "num_key_value_heads": graphs.HEADS})
        folder.write("expected.json", {"max_tokens": longest, "pairs": pairs, "ids": ids, "scores": scores})


def splade():
    folder = Folder("splade", tokenizers.word_piece())
    head = graphs.vocabulary_scores(folder.vocabulary)
    graphs.encoder("splade", folder.vocabulary, head, folder.path / "model.onnx")
    folder.write("config.json", {
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "max_position_embeddings": graphs.POSITIONS,
    })  # fmt: skip
    folder.write("tokenizer_config.json", {"model_max_length": MAX_TOKENS})
    ids = [bert_ids(folder, text) for text in TEXTS]
    weights = []
    for row in ids:
        pooled = np.log1p(np.maximum(folder.encode(row), 0)).max(axis=0)
        weights.append([[int(term), float(pooled[term])] for term in np.flatnonzero(pooled)])
    folder.write("expected.json", {"texts": TEXTS, "ids": ids, "weights": weights})


def multi_vector(name, describe, attend):
    """As ColBERT: markers after [CLS], queries filled up with [MASK], no vectors for punctuation."""
    folder = Folder(name, tokenizers.word_piece())
    graphs.encoder(name, folder.vocabulary, graphs.projected(PROJECTED), folder.path / "model.onnx")
    folder.write("config.json", {"model_type": "bert", "architectures": ["HF_ColBERT"]})
    describe(folder)
    query_length, skipped = 12, {folder.id(it) for it in string.punctuation}
    queries, documents = {"texts": QUERIES}, {"texts": PASSAGES}
    queries["ids"] = [bert_ids(folder, text, query_length, ["[unused0]"]) for text in QUERIES]
    queries["rows"] = []
    for row in queries["ids"]:
        used = len(row)
        row += [folder.id("[MASK]")] * (query_length - used)
        mask = [1] * (query_length if attend else used) + [0] * (0 if attend else query_length - used)
        rows = folder.run(input_ids=row, attention_mask=mask, token_type_ids=[0] * query_length)
        queries["rows"].append(normalized(rows).tolist())
    documents["ids"] = [bert_ids(folder, text, MAX_TOKENS, ["[unused1]"]) for text in PASSAGES]
    documents["rows"] = [
        normalized(folder.encode(row))[[at for at, it in enumerate(row) if it not in skipped]].tolist()
        for row in documents["ids"]
    ]
    folder.write("expected.json", {"queries": queries, "documents": documents})


def colbert_metadata(folder):
    folder.write("artifact.metadata", {
        "query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 12, "doc_maxlen": MAX_TOKENS,
        "mask_punctuation": True, "attend_to_mask_tokens": False, "dim": PROJECTED,
    })  # fmt: skip


def pylate_config(folder):
    folder.write("config_sentence_transformers.json", {
        "query_prefix": "[unused0]", "document_prefix": "[unused1]", "query_length": 12, "document_length": MAX_TOKENS,
        "attend_to_expansion_tokens": True, "skiplist_words": list(string.punctuation), "do_query_expansion": True,
    })  # fmt: skip


def write_all():
    dense("dense-mean", "mean_tokens", True, lambda rows: rows.mean(axis=0))
    dense("dense-cls", "cls_token", False, lambda rows: rows[0])
    dense("dense-max", "max_tokens", False, lambda rows: rows.max(axis=0))
    dense_last()
    cross_encoder("cross-encoder", 1)
    cross_encoder("cross-encoder-two", 2)
    sequence_to_sequence()
    causal()
    splade()
    multi_vector("multi-vector", colbert_metadata, attend=False)
    multi_vector("multi-vector-pylate", pylate_config, attend=True)


def main():
    made_of = "".join(path.read_text() for path in SOURCES)
    stamp = CACHE / "made-of"
    if stamp.exists() and stamp.read_text() == made_of:
        return
    new = CACHE.with_suffix(".new")
    for folder in (new, CACHE):
        shutil.rmtree(folder, ignore_errors=True)
    write_all()
    (new / "made-of").write_text(made_of)
    new.rename(CACHE)
    print(f"models: wrote {len(list(CACHE.iterdir())) - 1} tiny models in {CACHE}")


if __name__ == "__main__":
    main()
