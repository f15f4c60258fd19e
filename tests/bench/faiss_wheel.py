"""Our FAISS against the one of Python's wheel: the same files, the same answers, the time.

    python3 -m venv venv && venv/bin/pip install numpy faiss-cpu
    cargo build --release -p routir-index --example faiss_bench
    venv/bin/python tests/bench/faiss_wheel.py interchange
    venv/bin/python tests/bench/faiss_wheel.py speed [--vectors 100000] [--rounds 7]

`interchange` writes indices of many kinds on either side and searches them on both. `speed` measures
both sides in turns, so that whatever else the machine does meets both, on one thread, and prints
medians and how many times as fast ours is: against the wheel's search alone, which answers
positions, and with positions made into documents, as ours answers them. Which instruction sets were loaded is printed first:
compare only equal ones.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# Before numpy: its threads would meet FAISS's.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import faiss  # noqa: E402
import numpy as np  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/golden/faiss"))
from make import parameters  # noqa: E402

DIMENSIONS, LIMIT = 384, 10
METRICS = {"ip": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}

KINDS = [  # index string, metric, how it is searched
    ("Flat", "ip", {}),
    ("Flat", "l2", {}),
    ("HNSW32", "ip", {"ef_search": 64}),
    ("IVF256,Flat", "ip", {"nprobe": 16}),
    ("IVF64,SQ8", "ip", {"nprobe": 8}),
    ("IVF64,PQ16x4fs", "ip", {"nprobe": 8}),
    ("PQ16x4fs", "ip", {}),
    ("PQ96x4fs", "ip", {}),
    ("PQ48", "ip", {}),
    ("PQ16x4fs,RFlat", "ip", {"k_factor": 4.0}),
    ("OPQ16_64,PQ16x4fs", "ip", {}),
    ("OPQ16_64,IVF64_HNSW32,PQ16x4fs", "ip", {"nprobe": 8, "ef_search": 64}),
]

TIMED = [
    ("Flat", "ip", {}),
    ("IVF256,PQ48x4fs", "ip", {"nprobe": 16}),
    ("PQ48x4fs", "ip", {}),
    ("HNSW32", "ip", {"ef_search": 64}),
    ("IVF256,Flat", "ip", {"nprobe": 16}),
    ("PQ48", "ip", {}),
]


class Ours:
    """The Rust side, in a process of its own."""

    def __init__(self, program):
        environment = {"ROUTIR_NATIVE": str(REPOSITORY / ".cache/native"), **os.environ}
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"our side ended while it was to do {order}")
        return json.loads(line)


def vectors(random, count):
    """Points of length 1 around a thousand centres, near each other as those of an encoder are."""
    centres = np.random.default_rng(7).normal(size=(1000, DIMENSIONS))
    points = centres[random.integers(1000, size=count)] + random.normal(size=(count, DIMENSIONS))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("float32")


def build(base, factory, metric, folder):
    """An index of the wheel's, with ids."""
    index = faiss.index_factory(DIMENSIONS, factory, METRICS[metric])
    faiss.omp_set_num_threads(os.cpu_count())
    index.train(base[:40_000])
    index.add(base)
    faiss.omp_set_num_threads(1)
    faiss.write_index(index, str(folder / "index.faiss"))
    (folder / "index.ids").write_text("".join(f"{n}\n" for n in range(len(base))))


def differences(index, queries, how, found, sign):
    """Queries for which another document was found than the wheel finds, ties apart; the largest
    difference of scores."""
    scores, positions = index.search(queries, LIMIT, params=parameters(index, how))
    wrong, largest = 0, 0.0
    for wanted, ids, hits in zip(scores, positions, found):
        ours = np.array([score for _, score in hits]) * sign
        largest = max(largest, float(np.abs(ours - wanted[: len(hits)]).max()))
        sure = {str(it) for it, score in zip(ids, wanted) if sign * (score - wanted[-1]) > 1e-5}
        wrong += not sure <= {it for it, _ in hits} or len(hits) != (ids >= 0).sum()
    return wrong, largest


def interchange(ours, folder, only):
    random = np.random.default_rng(1)
    base, queries = vectors(random, 20_000), vectors(random, 200)
    base.tofile(folder / "base.f32")
    queries.tofile(folder / "queries.f32")
    failed = False
    for factory, metric, how in (kind for kind in KINDS if only in kind[0]):
        for writer in ("wheel", "ours"):
            if writer == "wheel":
                build(base, factory, metric, folder)
            else:
                ours.ask(build=str(folder), index=factory, metric=metric, dim=DIMENSIONS,
                         vectors=str(folder / "base.f32"))
            index = faiss.read_index(str(folder / "index.faiss"))
            for mmap in (False, True):
                opened = ours.ask(open=str(folder), mmap=mmap)
                answer = ours.ask(queries=str(folder / "queries.f32"), limit=LIMIT, batch=32, tell=True, **how)
                sign = -1 if metric == "l2" else 1
                wrong, largest = differences(index, queries, how, answer["found"], sign)
                failed |= wrong > 0
                print(f"{factory:32} {metric} written by {writer:5} {'mapped' if mmap else 'read':6} "
                      f"as {opened['index']:36} {wrong} of {len(queries)} differ, scores by {largest:.1e}",
                      flush=True)
    sys.exit(1 if failed else 0)


def speed(ours, folder, only, count, rounds):
    random = np.random.default_rng(1)
    base, queries = vectors(random, count), vectors(random, 256)
    queries.tofile(folder / "queries.f32")
    for number, (factory, metric, how) in enumerate(kind for kind in TIMED if only in kind[0]):
        build(base, factory, metric, folder)
        index = faiss.read_index(str(folder / "index.faiss"))
        search = parameters(index, how)
        ids = (folder / "index.ids").read_text().splitlines()
        opened = ours.ask(open=str(folder))
        if number == 0:
            print(f"wheel {faiss.__version__} {faiss.get_compile_options()}; ours {opened['faiss']}, "
                  f"{opened['variant']}", flush=True)
        for batch in (1, 32):
            times = {"wheel": [], "with ids": [], "ours": []}
            some = queries[:64] if batch == 1 else queries
            some.tofile(folder / "some.f32")
            for turn in range(rounds + 1):
                theirs, named = [], []
                for first in range(0, len(some), batch):
                    part = some[first:first + batch]
                    started = time.perf_counter()
                    scores, positions = index.search(part, LIMIT, params=search)
                    theirs.append(time.perf_counter() - started)
                    # What RoutIR does with it, and ours before it answers: documents with scores.
                    for row, found in zip(scores.tolist(), positions.tolist()):
                        {ids[at]: score for at, score in zip(found, row) if at >= 0}
                    named.append(time.perf_counter() - started)
                answer = ours.ask(queries=str(folder / "some.f32"), limit=LIMIT, batch=batch, **how)
                if turn > 0:  # The first turn warms both up.
                    times["wheel"] += theirs
                    times["with ids"] += named
                    times["ours"] += answer["seconds"]
            medians = {side: statistics.median(them) for side, them in times.items()}
            wheel, named, mine = (1e3 * medians[side] for side in ("wheel", "with ids", "ours"))
            print(f"{factory:16} n={count} d={DIMENSIONS} batch {batch:2}: wheel {wheel:8.3f} ms, its answers "
                  f"with ids {named:8.3f} ms, ours with ids {mine:8.3f} ms: {wheel / mine:.2f}x, "
                  f"{named / mine:.2f}x", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["interchange", "speed"])
    parser.add_argument("--only", default="", help="index strings with this in them")
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", default=REPOSITORY / "target/release/examples/faiss_bench")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    ours = Ours(arguments.program)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "interchange":
            interchange(ours, pathlib.Path(folder), arguments.only)
        else:
            speed(ours, pathlib.Path(folder), arguments.only, arguments.vectors, arguments.rounds)


if __name__ == "__main__":
    main()
