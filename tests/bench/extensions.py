"""Measures extensions: what a fusion in a component costs, alone and in a served pipeline.

    python3 tests/bench/extensions.py [--binary PATH] [--rounds N] [--seconds S] [--write]

Prints Markdown; `--write` puts it into docs/benchmarks.md. Needs a release build, `wrk`, and the
guests (`make guests`); those that are not built are named and left out. What is compared and how is
told in docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import data
from servers import Server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".cache" / "bench"
REPORT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- extensions: begin -->\n", "<!-- extensions: end -->\n"

FUSIONS = ("rrf-rust", "rrf-c", "rrf-zig", "rrf-go", "rrf-js", "rrf-ts", "rrf-python")
ASKING = {
    "prf-decomposer": {"service": "bm25", "collection": "docs"},
    "two-stage-engine": {
        "first": "bm25",
        "second": "dense",
        "reranker": "reranker",
        "collection": "docs",
    },
}
NEEDS_WASI = {"rrf-go"}
CONNECTIONS = 16
TARGET_CALL, TARGET_RATE = 3.0, 0.8
COMPILED = ("rrf-rust", "rrf-c", "rrf-zig")


def main():
    args = _arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    guests = {name: args.guests / f"{name}.wasm" for name in (*FUSIONS, *ASKING)}
    missing = [name for name, path in guests.items() if not path.exists()]
    for name in missing:
        print(f"bench: SKIPPED: {name} is not built; run `make guests`", file=sys.stderr)
    seen = {
        name: _ext_bench(args, name, path) for name, path in guests.items() if path.exists()
    }
    fusions = [name for name in FUSIONS if name in seen]
    rates = _served(args, {name: guests[name] for name in fusions})
    report = "\n".join([_calls(seen, fusions), _asking(seen), _rates(rates), _verdict(seen, rates, missing)])
    print(report)
    if args.write:
        _write(report)


def _arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=target / "release" / "routir-rt")
    parser.add_argument("--guests", type=Path, default=ROOT / "target" / "guests")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per number")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load per round")
    parser.add_argument("--write", action="store_true", help="rewrite docs/benchmarks.md")
    args = parser.parse_args()
    if not args.binary.exists():
        parser.error(f"{args.binary} is missing; run `cargo build --release -p routir-rt` first")
    return args


def _ext_bench(args, name, path):
    """What `routir-rt ext bench` says of one guest."""
    print(f"bench: {name}", file=sys.stderr, flush=True)
    command = [args.binary, "ext", "bench", path, "--format", "json"]
    if name in NEEDS_WASI:
        command.append("--wasi")
    if name in ASKING:
        # Forty instances are held at once to weigh one; they start in turn.
        command += ["--params", json.dumps(ASKING[name]), "--time-ms", "60000"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out)[0]


def _served(args, guests):
    """Merger -> requests/s by round, the mergers taking turns on one server."""
    topics = data.generate(WORK)

    def service(name, engine, **config):
        return {"name": name, "engine": engine, "config": config, "cache": -1, "max_wait_time": 0}

    runs = {name: str(WORK / f"{name}.run") for name in "ab"}
    services = [
        service(name, "TrecRun", run=run, topics=str(WORK / "topics.tsv"))
        for name, run in runs.items()
    ]
    for name, path in guests.items():
        grants = {"wasi": name in NEEDS_WASI}
        services.append(service(name, "Extension", component=str(path), grants=grants))
    config = WORK / "extensions.json"
    config.write_text(json.dumps({"services": services}, indent=2))
    rates = defaultdict(list)
    with Server([args.binary], config, WORK / "extensions.log") as server:
        server.answers()
        bodies = {}
        for merger in ("RRF", *guests):
            # A guest's own default is the native one's, so both fuse alike.
            request = {"pipeline": f"{{a%100,b%100}}{merger}%50"}
            path = WORK / f"requests-{merger}.jsonl"
            with open(path, "w") as out:
                for text in topics.values():
                    out.write(json.dumps({**request, "query": text}) + "\n")
            bodies[merger] = path
            _same_answers(server, request, topics)
            server.load(HERE / "load.lua", path, "/pipeline", CONNECTIONS, 1)
        for number in range(args.rounds):
            print(f"bench: served, round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
            for merger, path in bodies.items():
                load = server.load(HERE / "load.lua", path, "/pipeline", CONNECTIONS, args.seconds)
                rates[merger].append(load["rate"])
    return rates


def _same_answers(server, request, topics):
    """Ends the run unless the guest fuses as the native merger does."""
    native = {"pipeline": "{a%100,b%100}RRF%50"}
    for text in list(topics.values())[::40]:
        guest = server.ask("POST", "/pipeline", {**request, "query": text})["scores"]
        ours = server.ask("POST", "/pipeline", {**native, "query": text})["scores"]
        if list(guest.items()) != list(ours.items()):
            raise SystemExit(f"{request['pipeline']} answers {text!r} differently from RRF")


def _calls(seen, fusions):
    rows = [
        "| guest | file | admitted, cold | again | 2 x 100: fresh | reused | 2 x 1000: fresh | reused | 4 x 1000: fresh | reused |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in fusions:
        guest = seen[name]
        cells = [f"{guest['size_bytes'] / 1e3:,.0f} kB", f"{guest['admit_ms']:.0f} ms"]
        cells.append(f"{guest['admit_again_ms']:.1f} ms")
        for shape in guest["calls"]:
            for kind in ("fresh", "reused"):
                ratio, time = shape[f"{kind}_over_native"], shape[f"{kind}_us"]
                cells.append(f"{ratio:.2f} x ({time:.0f} µs)")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    natives = [
        f"{shape['lists']} x {shape['hits']}: {shape['native_us']:.1f} µs"
        for shape in (seen[fusions[0]]["calls"] if fusions else [])
    ]
    rows.append(f"\nNative RRF, of the same rounds as the first row: {', '.join(natives)}.\n")
    return "\n".join(rows)


def _asking(seen):
    rows = [
        "| guest | host calls | a call, fresh | reused | resident while it waits | instances per GiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in ASKING:
        if name in seen:
            asking = seen[name]["asking"]
            kib = max(asking["waiting_kib"], 1)
            rows.append(
                f"| {name} | {asking['host_calls']} | {asking['fresh_us']:.0f} µs "
                f"| {asking['reused_us']:.0f} µs | {kib:,} KiB | {2**20 // kib:,} |"
            )
    return "\n".join(rows) + "\n"


def _rates(rates):
    native = statistics.median(rates["RRF"])
    rows = ["| merger | requests/s | against native |", "|---|---:|---:|"]
    for merger, samples in rates.items():
        rate = statistics.median(samples)
        rows.append(f"| {merger} | {rate:,.0f} | {rate / native:.2f} x |")
    return "\n".join(rows) + "\n"


def _verdict(seen, rates, missing):
    missed = []
    native = statistics.median(rates["RRF"])
    for name in COMPILED:
        if name in seen:
            ratio = next(s for s in seen[name]["calls"] if (s["lists"], s["hits"]) == (2, 1000))
            if ratio["fresh_over_native"] > TARGET_CALL:
                missed.append(f"{name}, 2 x 1000: {ratio['fresh_over_native']:.2f} x")
            if statistics.median(rates[name]) / native < TARGET_RATE:
                missed.append(f"{name}, served: {statistics.median(rates[name]) / native:.2f} x")
    left_out = f" Not built, so not measured: {', '.join(missing)}." if missing else ""
    return (
        f"Targets, for compiled languages: a call in a fresh instance in at most {TARGET_CALL:.0f} x "
        f"native at 2 x 1000, and at least {TARGET_RATE} x the requests/s of native RRF. "
        f"Missed: {'; '.join(missed) or 'none'}.{left_out}\n"
    )


def _write(report):
    text = REPORT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    REPORT.write_text(f"{before}{BEGIN}\n{report}\n{END}{after}")
    print(f"bench: wrote {REPORT}", file=sys.stderr)


if __name__ == "__main__":
    main()
