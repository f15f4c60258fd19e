"""Measures this server against RoutIR from PyPI: the same data, work and client, in one run.

    python3 tests/bench/against_routir.py [--binary PATH] [--rounds N] [--seconds S] [--write]

Prints Markdown; `--write` puts it into docs/benchmarks.md. Needs a release build and `wrk`. Takes
about seven minutes. What is compared and how is told in docs/benchmarks.md.
"""

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import venv
from collections import defaultdict
from pathlib import Path

import data
from servers import Server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / ".cache" / "bench"
REPORT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"

ROUTIR = "0.0.2"
CONNECTIONS = (1, 16, 64)
TARGET_RATE, TARGET_LATENCY = 20, 10
LONE = "lone, one core"
STARTS = 5
OURS, TUNED, STOCK = "ours", "RoutIR", "RoutIR as it ships"


def main():
    args = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    _need_wrk()
    routir = _install_routir()
    WORK.mkdir(parents=True, exist_ok=True)
    topics = data.generate(WORK)
    sides = _sides(args.binary, routir)
    for side in sides:  # Offset files are built, byte code is compiled, pages are read.
        with _start(side, sides) as server:
            _answers_search(server, topics)

    starts, idle = _measure_starts(sides, topics)
    empty = _measure_empty(sides)
    quick = _measure_quick_start(args.binary)
    with contextlib.ExitStack() as running:
        servers = {side: running.enter_context(_start(side, sides)) for side in sides}
        for server in servers.values():
            server.answers()
        _compare_answers(servers[OURS], servers[TUNED], topics)
        loads = _measure_loads(servers, args.rounds, args.seconds)
        loaded = {side: server.memory_mb() for side, server in servers.items()}

    report = "\n".join(
        [
            _machine(args, routir),
            _load_table(loads),
            _footprint_table(starts, idle, loaded, empty, quick),
            _processor_note(loads),
            _verdict(loads),
        ]
    )
    print(report)
    if args.write:
        _write(report)


def _arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=target / "release" / "routir-rt")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per number")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load per round")
    parser.add_argument("--write", action="store_true", help="rewrite docs/benchmarks.md")
    args = parser.parse_args()
    if not args.binary.exists():
        parser.error(f"{args.binary} is missing; run `cargo build --release -p routir-rt` first")
    return args


def _need_wrk():
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit("the load generator `wrk` is missing; install it (Debian package: wrk)")
    _say("installing wrk")
    subprocess.run(["apt-get", "install", "--yes", "--quiet", "wrk"], check=True, stdout=sys.stderr)


def _install_routir():
    """The folder with RoutIR's programs, in a virtual environment that is made once."""
    home = WORK / f"routir-{ROUTIR}"
    if not (home / "complete-grpc").exists():
        _say(f"installing RoutIR {ROUTIR} from PyPI")
        venv.create(home, with_pip=True, clear=True)
        # RoutIR imports numpy at start without requiring it.
        packages = [f"routir[grpc]=={ROUTIR}", "numpy"]
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (home / "complete-grpc").touch()
    return home / "bin"


def _sides(binary, routir):
    """Side -> (command, config). The configs differ in nothing but what stands here."""
    extension = {"file_imports": [str(HERE / "routir_engines.py")]}
    return {
        OURS: ([binary], _config("ours", {}, {"max_wait_time": 0})),
        TUNED: ([routir / "routir"], _config("tuned", extension, {"max_wait_time": 0})),
        STOCK: ([routir / "routir"], _config("stock", extension, {"max_wait_time": 0.05})),
    }


def _config(name, extra, batching):
    def service(name, engine, **config):
        batch = {"batch_size": 32, "cache": -1, **batching}
        return {"name": name, "engine": engine, "config": config, **batch}

    topics = str(WORK / "topics.tsv")
    config = {
        "services": [
            service("a", "TrecRun", run=str(WORK / "a.run"), topics=topics),
            service("b", "TrecRun", run=str(WORK / "b.run"), topics=topics),
            service("overlap", "TokenOverlap"),
        ],
        "collections": [
            {
                "name": "docs",
                "doc_path": str(WORK / "documents.jsonl"),
                "cache_path": str(WORK / f"{name}.offsets"),
                "cache": 0,  # RoutIR has none here.
            }
        ],
        **extra,
    }
    path = WORK / f"{name}.json"
    path.write_text(json.dumps(config, indent=2))
    return path


def _start(side, sides, config=None, arguments=()):
    command, own = sides[side]
    log = WORK / f"{side.replace(' ', '-')}.log"
    return Server(command, config or own, log, {"PYTHONPATH": str(HERE)}, arguments)


def _answers_search(server, topics):
    request = {"service": "a", "limit": 100, "query": topics["1"]}
    return server.answers("POST", "/search", request)


def _measure_starts(sides, topics):
    """Seconds from start to the first ranking, and memory after it; a median per side."""
    seconds, memory = defaultdict(list), defaultdict(list)
    for number in range(STARTS):
        _say(f"start {number + 1} of {STARTS}")
        for side in (OURS, TUNED):
            with _start(side, sides) as server:
                seconds[side].append(_answers_search(server, topics))
                memory[side].append(server.memory_mb())
    return _medians(seconds), _medians(memory)


def _measure_empty(sides):
    """Seconds from start to the first answer and memory after it, with the config `{}`."""
    seconds, memory = defaultdict(list), defaultdict(list)
    for _ in range(STARTS):
        for side in (OURS, TUNED):
            with _start(side, sides, "{}") as server:
                seconds[side].append(server.answers())
                memory[side].append(server.memory_mb())
    return _medians(seconds), _medians(memory)


def _measure_quick_start(binary):
    """Seconds from start to the first BM25 ranking, and memory, with the index built before."""
    quick = {"quick start": ([binary], ROOT / "configs" / "quickstart" / "config.json")}
    seconds, memory = [], []
    for _ in range(1 + STARTS):
        with _start("quick start", quick) as server:
            request = {"service": "bm25", "query": "java coffee", "limit": 3}
            seconds.append(server.answers("POST", "/search", request))
            memory.append(server.memory_mb())
    return statistics.median(seconds[1:]), statistics.median(memory[1:])


def _medians(samples):
    return {side: statistics.median(values) for side, values in samples.items()}


def _compare_answers(ours, theirs, topics):
    """Ends the run unless both sides answer a sample of requests alike."""
    for call, (path, request) in data.CALLS.items():
        for topic in list(topics)[::20]:
            body = {**request, "query": topics[topic]}
            a = ours.ask("POST", path, body)["scores"]
            b = theirs.ask("POST", path, body)["scores"]
            if not _alike(a, b, documents="rerank" not in call):
                sys.exit(f"the sides answer topic {topic} of {call} differently:\n{a}\n{b}")
    _say("both sides answer alike")


def _alike(a, b, documents):
    """Equal scores; and equal documents where asked (RoutIR reranks with the scores of others),
    but for those that tie at the cut."""
    scores = [sorted(side.values(), reverse=True) for side in (a, b)]
    close = lambda x, y: math.isclose(x, y, rel_tol=1e-9)
    if not a or len(a) != len(b) or not all(map(close, *scores)):
        return False
    above = lambda side: {doc for doc, score in side.items() if score > scores[0][-1] * (1 + 1e-9)}
    return not documents or above(a) == above(b)


def _measure_loads(servers, rounds, seconds):
    """(call, connections or `LONE`, side) -> what the rounds measured; the sides take turns."""
    loads = defaultdict(list)
    for at, (call, (path, _)) in enumerate(data.CALLS.items(), 1):
        bodies = data.bodies(WORK, call)
        for server in servers.values():
            server.load(HERE / "load.lua", bodies, path, max(CONNECTIONS), 1)
        for cell in (LONE, *CONNECTIONS):
            _say(f"call {at} of {len(data.CALLS)}, connections: {cell}")
            connections = 1 if cell == LONE else cell
            load = (HERE / "load.lua", bodies, path, connections, seconds)
            for number in range(rounds):
                for side, server in servers.items():
                    if side == STOCK and number:
                        continue  # Its column is for orientation: one round will do.
                    measure = server.load_on_one_core if cell == LONE else server.load
                    loads[call, cell, side].append(measure(*load))
    return loads


def _median(loads, call, connections, side, field):
    return statistics.median(measured[field] for measured in loads[call, connections, side])


def _load_table(loads):
    rows = [
        "| call | measure | ours | RoutIR, `max_wait_time` 0 | ratio | RoutIR, `max_wait_time` 0.05 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for call in data.CALLS:
        for cell, where in ((1, ""), (LONE, ", server and client on one core")):
            latency = [_median(loads, call, cell, side, "p50_ms") for side in (OURS, TUNED, STOCK)]
            cells = [f"{ms:.3f} ms" if ms < 1 else f"{ms:.2f} ms" for ms in latency]
            what = f"lone request, median latency{where}"
            rows.append(_row(call if cell == 1 else "", what, cells, latency[1] / latency[0]))
        for connections in CONNECTIONS:
            rates = [_median(loads, call, connections, side, "rate") for side in (OURS, TUNED, STOCK)]
            cells = [f"{rate:,.0f}/s" for rate in rates]
            what = f"requests/s, {connections} connection{'s' * (connections > 1)}"
            rows.append(_row("", what, cells, rates[0] / rates[1]))
    return "\n".join(rows) + "\n"


def _row(call, measure, cells, ratio):
    ours, tuned, stock = cells
    return f"| {call} | {measure} | {ours} | {tuned} | **{ratio:.1f} x** | {stock} |"


def _footprint_table(starts, idle, loaded, empty, quick):
    def row(measure, values, unit):
        ours, theirs = values[OURS], values[TUNED]
        digits = 3 if unit == "s" else 1
        cells = f"{ours:.{digits}f} {unit} | {theirs:.{digits}f} {unit}"
        return f"| {measure} | {cells} | **{theirs / ours:.1f} x** |"

    return "\n".join(
        [
            "| | ours | RoutIR | ratio |",
            "|---|---:|---:|---:|",
            row("start to first ranking, offsets built before", starts, "s"),
            row("resident memory after it", idle, "MB"),
            row("resident memory after all load", loaded, "MB"),
            row("start to first answer, config `{}`", empty[0], "s"),
            row("resident memory after it, config `{}`", empty[1], "MB"),
            f"| quick start, index built before: start to first BM25 ranking | {quick[0]:.3f} s | | |",
            f"| quick start: resident memory after it | {quick[1]:.1f} MB | | |",
            "",
        ]
    )


def _verdict(loads):
    """Which ratios miss the targets, and how quiet the machine was."""

    def ratio(call, connections, field):
        return _median(loads, call, connections, OURS, field) / _median(
            loads, call, connections, TUNED, field
        )

    missed = []
    for call in data.CALLS:
        lone = 1 / ratio(call, 1, "p50_ms")
        if lone < TARGET_LATENCY:
            missed.append(f"{call}, lone request: {lone:.1f} x")
        for connections in CONNECTIONS[1:]:
            rate = ratio(call, connections, "rate")
            if rate < TARGET_RATE:
                missed.append(f"{call}, {connections} connections: {rate:.1f} x")
    others = sorted(load["other_cpu"] for rounds in loads.values() for load in rounds)
    return (
        f"Targets: {TARGET_RATE} x the requests/s at 16 and 64 connections, a lone request in "
        f"1/{TARGET_LATENCY} of the time, against `max_wait_time` 0. "
        f"Missed: {'; '.join(missed) or 'none'}.\n\n"
        f"Other processes on the machine used {statistics.median(others):.2f} cores in the median "
        f"round and {others[len(others) * 9 // 10]:.2f} in the 90th percentile.\n"
    )


def _processor_note(loads):
    parts = []
    for call in data.CALLS:
        shares = [
            _median(loads, call, 64, side, field)
            for side in (OURS, TUNED)
            for field in ("server_cpu", "client_cpu")
        ]
        parts.append("| {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} |".format(call, *shares))
    head = [
        "Processors in use at 64 connections, of those that server and client share:",
        "",
        "| call | our server | its client | RoutIR | its client |",
        "|---|---:|---:|---:|---:|",
    ]
    return "\n".join(head + parts) + "\n"


def _machine(args, routir):
    version = lambda *command: subprocess.run(
        command, capture_output=True, text=True, check=False
    ).stdout.strip()
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    packages = json.loads(version(routir / "python", "-m", "pip", "list", "--format", "json"))
    wanted = ("hypercorn", "quart")
    theirs = ", ".join(f"{p['name']} {p['version']}" for p in packages if p["name"].lower() in wanted)
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return (
        f"Measured on {datetime.date.today()}: {model}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}; {version(args.binary, '--version')}, "
        f"{version('rustc', '--version')}; RoutIR {ROUTIR} on Python "
        f"{version(routir / 'python', '--version').removeprefix('Python ')}, {theirs}; "
        f"{' '.join(wrk.split()[:2])}; medians of {args.rounds} rounds of {args.seconds} s each.\n"
    )


def _write(report):
    text = REPORT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    REPORT.write_text(f"{before}{BEGIN}\n{report}\n{END}{after}")
    _say(f"wrote {REPORT}")


def _say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
