"""A peer of `models.py`: encodes texts with Python's onnxruntime or with sentence-transformers.

    python encode_peer.py {onnxruntime FILE | sentence-transformers} MODEL TEXTS BATCH SECONDS THREADS

Encodes `BATCH` of the texts (a JSON array) at a time, again and again, for at least `SECONDS`, and
prints one line of JSON. Within a call both sort by length and pad parts of 32, as they do at their best.
"""

import json
import os
import sys
import time

PART = 32


def onnx_encoder(file, model, threads):
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(os.path.join(model, file), options, ["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    with open(os.path.join(model, "sentence_bert_config.json")) as config:
        tokenizer.enable_truncation(json.load(config)["max_seq_length"])
    tokenizer.no_padding()
    names = {it.name for it in session.get_inputs()}

    def part(encodings):
        longest = max(len(it.ids) for it in encodings)
        shape = (len(encodings), longest)
        fed = {name: np.zeros(shape, "int64") for name in ("input_ids", "attention_mask", "token_type_ids")}
        for row, encoding in enumerate(encodings):
            fed["input_ids"][row, : len(encoding.ids)] = encoding.ids
            fed["attention_mask"][row, : len(encoding.ids)] = 1
        hidden = session.run(None, {name: fed[name] for name in fed if name in names})[0]
        mask = fed["attention_mask"][:, :, None]
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def encode(texts):
        encodings = sorted(tokenizer.encode_batch(texts), key=lambda it: len(it.ids))
        return [part(encodings[at : at + PART]) for at in range(0, len(encodings), PART)]

    return encode


def transformer_encoder(model, threads):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    encoder = SentenceTransformer(model, device="cpu")
    return lambda texts: encoder.encode(
        texts, batch_size=PART, normalize_embeddings=True, show_progress_bar=False
    )


def main():
    kind, *file, model, texts, batch, seconds, threads = sys.argv[1:]
    encoder = onnx_encoder(*file, model, int(threads)) if file else transformer_encoder(model, int(threads))
    with open(texts) as lines:
        texts = json.load(lines)
    calls = [texts[at : at + int(batch)] for at in range(0, len(texts), int(batch))]
    for call in calls[:2]:
        encoder(call)
    encoded, at, start = 0, 0, time.perf_counter()
    while (took := time.perf_counter() - start) < float(seconds):
        encoder(calls[at % len(calls)])
        encoded, at = encoded + len(calls[at % len(calls)]), at + 1
    print(json.dumps({"peer": kind, "sentences": encoded, "sentences_per_second": encoded / took}))


if __name__ == "__main__":
    main()
