"""Writes the files beside this one: small indices by Python's FAISS, and what it finds in them.

    python3 -m venv venv && venv/bin/pip install numpy faiss-cpu && venv/bin/python make.py

`runtime/index/tests/faiss.rs` reads them, so that the tests need no Python. Everything is drawn from
one seed, but another version of FAISS may learn other centroids: the files and what is found in them
belong together and are written together.
"""

import json
import pathlib

import faiss
import numpy as np

HERE = pathlib.Path(__file__).parent
DIMENSIONS, VECTORS, QUERIES, LIMIT = 16, 400, 6, 10

# File, index string, metric, how it is searched.
INDICES = [
    ("flat", "Flat", "ip", {}),
    ("flat-l2", "Flat", "l2", {}),
    ("hnsw", "HNSW8", "ip", {"ef_search": 48}),
    ("ivf-flat", "IVF8,Flat", "ip", {"nprobe": 3}),
    ("ivf-l2", "IVF8,Flat", "l2", {"nprobe": 3}),
    ("ivf-sq", "IVF8,SQ8", "ip", {"nprobe": 3}),
    ("ivf-pq", "IVF4,PQ8x4", "l2", {"nprobe": 2}),
    ("ivf-pq-fast", "IVF8,PQ8x4fs", "ip", {"nprobe": 3}),
    ("pq", "PQ8x6", "ip", {}),
    ("pq-fast", "PQ8x4fs", "ip", {}),
    ("refined", "PQ8x4fs,RFlat", "ip", {"k_factor": 3.0}),
    ("opq", "OPQ8_8,PQ8x4fs", "ip", {}),
    ("nested", "OPQ8_8,IVF8_HNSW4,PQ8x4fs", "ip", {"nprobe": 6, "ef_search": 16}),
]


def vectors(random, count):
    """Points around a few centres, of length 1."""
    centres = np.random.default_rng(7).normal(size=(12, DIMENSIONS))
    points = centres[random.integers(12, size=count)] + 0.6 * random.normal(size=(count, DIMENSIONS))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32")


def parameters(index, how):
    """FAISS's search parameters for `how`, in the shape of the index."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        inner = parameters(index.index, how)
        return inner and faiss.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, faiss.IndexRefine):
        return faiss.IndexRefineSearchParameters(k_factor=how["k_factor"])
    if isinstance(index, faiss.IndexIVF):
        coarse = None
        if "ef_search" in how:
            coarse = faiss.SearchParametersHNSW(efSearch=how["ef_search"])
        return faiss.SearchParametersIVF(nprobe=how["nprobe"], quantizer_params=coarse)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=how["ef_search"])
    return None


def main():
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(42)
    base, queries = vectors(random, VECTORS), vectors(random, QUERIES)
    (HERE / "index.ids").write_text("".join(f"d{n}\n" for n in range(VECTORS)))
    rows = []
    for name, factory, metric, how in INDICES:
        kind = {"ip": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}[metric]
        index = faiss.index_factory(DIMENSIONS, factory, kind)
        index.train(base)
        index.add(base)
        faiss.write_index(index, str(HERE / f"{name}.faiss"))
        scores, positions = index.search(queries, LIMIT, params=parameters(index, how))
        found = [
            [[f"d{position}", float(score)] for position, score in zip(*one) if position >= 0]
            for one in zip(positions, scores)
        ]
        rows.append({"file": f"{name}.faiss", "factory": factory, "metric": metric, "how": how,
                     "found": found})
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "expected.json").write_text(
        f'{{"faiss": "{faiss.__version__}", "queries": {json.dumps(queries.tolist())},\n'
        f'"indices": [\n{lines}\n]}}\n'
    )


if __name__ == "__main__":
    main()
