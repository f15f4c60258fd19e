"""Measures gRPC against RoutIR's, and what a relay adds to a request.

    python3 tests/bench/wires.py [--binary PATH] [--rounds N] [--seconds S] [--write]

Prints Markdown; `--write` puts it into docs/benchmarks.md. Needs a release build with the example
`grpc_load` (`make bench` makes one) and `wrk`. What is compared and how is told in docs/benchmarks.md.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import against_routir
import data
from against_routir import HERE, OURS, REPORT, ROOT, TUNED, WORK
from servers import Server, _children_cpu, free_port

CONNECTIONS = (1, 16, 64)
TARGET_RATE, TARGET_HOP_MS = 10, 0.15
CALLS = [call for call in data.CALLS if "rerank" not in call]


def main():
    args = _arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    topics = data.generate(WORK)
    sides = against_routir._sides(args.binary, against_routir._install_routir())
    _write(args, "grpc", _grpc(args, sides, topics))
    _write(args, "relay", _relay(args, sides, topics))


def _arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=target / "release" / "routir-rt")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per number")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load per round")
    parser.add_argument("--write", action="store_true", help="rewrite docs/benchmarks.md")
    args = parser.parse_args()
    args.client = args.binary.parent / "examples" / "grpc_load"
    for needed in (args.binary, args.client):
        if not needed.exists():
            parser.error(f"{needed} is missing; run `make bench`")
    return args


def _grpc(args, sides, topics):
    """Requests per second and lone latency of both servers over gRPC, taking turns."""
    loads = defaultdict(list)
    with contextlib.ExitStack() as running:
        asked = {}
        for side in (OURS, TUNED):
            port = free_port()
            server = against_routir._start(side, sides, arguments=("--grpc", "--grpc-port", port))
            running.enter_context(server)
            against_routir._answers_search(server, topics)
            asked[side] = (server, f"127.0.0.1:{port}")
        for call in CALLS:
            for number in range(args.rounds):
                print(f"bench: gRPC, {call}, round {number + 1}", file=sys.stderr, flush=True)
                for connections in CONNECTIONS:
                    for side, (server, address) in asked.items():
                        load = _load(args, server, address, call, connections)
                        loads[call, connections, side].append(load)
    rows = [
        "| call over gRPC | measure | ours | RoutIR, `max_wait_time` 0 | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    missed = []
    for call in CALLS:
        ours, theirs = (_median(loads[call, 1, side], "p50_ms") for side in (OURS, TUNED))
        rows.append(f"| {call} | lone request, median latency | {ours:.3f} ms | {theirs:.3f} ms | **{theirs / ours:.1f} x** |")
        for connections in CONNECTIONS:
            ours, theirs = (_median(loads[call, connections, side], "rate") for side in (OURS, TUNED))
            what = f"requests/s, {connections} connection{'s' * (connections > 1)}"
            rows.append(f"| | {what} | {ours:,.0f}/s | {theirs:,.0f}/s | **{ours / theirs:.1f} x** |")
            if connections > 1 and ours / theirs < TARGET_RATE:
                missed.append(f"{call}, {connections} connections: {ours / theirs:.1f} x")
    rows.append(f"\nTarget: {TARGET_RATE} x the requests/s. Missed: {'; '.join(missed) or 'none'}.\n")
    rows += [_processor_note(loads, call) for call in CALLS]
    return "\n".join(rows)


def _processor_note(loads, call):
    """Where the processor's time goes when most is asked at once."""
    most = max(CONNECTIONS)
    ours, theirs = (_median(loads[call, most, side], "server_us") for side in (OURS, TUNED))
    client = [_median(loads[call, most, side], "client_cpu") for side in (OURS, TUNED)]
    return (
        f"- {call}, {most} connections: a request takes our server {ours:.0f} µs of processor time and "
        f"RoutIR {theirs:.0f} µs; the client is busy for {client[0]:.0%} and {client[1]:.0%} of its core."
    )


def _load(args, server, address, call, connections):
    command = [args.client, address, data.bodies(WORK, call), str(connections), str(args.seconds)]
    before, client_before = server.cpu_seconds(), _children_cpu()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured = json.loads(done.stdout)
    answered = measured["requests"] + measured["learned"]
    measured["server_us"] = (server.cpu_seconds() - before) / answered * 1e6
    measured["client_cpu"] = (_children_cpu() - client_before) / measured["seconds"]
    return measured


def _relay(args, sides, topics):
    """The same request to a server and to another that imports it, one client, over REST."""
    call = CALLS[0]
    path, request = data.CALLS[call]
    loads = defaultdict(list)
    with contextlib.ExitStack() as running:
        port = free_port()
        far = against_routir._start(OURS, sides, arguments=("--grpc", "--grpc-port", port))
        running.enter_context(far)
        against_routir._answers_search(far, topics)
        servers = {"direct": far}
        for transport in ("grpc", "rest"):
            config = WORK / f"relay-{transport}.json"
            imported = {"endpoint": f"http://127.0.0.1:{far.port}", "transport": transport}
            imported["grpc_endpoint"] = f"127.0.0.1:{port}"
            config.write_text(json.dumps({"server_imports": [imported]}))
            near = Server([args.binary], config, WORK / f"relay-{transport}.log")
            running.enter_context(near)
            near.answers("POST", path, {**request, "query": topics["1"]})
            servers[transport] = near
        for number in range(args.rounds):
            print(f"bench: relay, round {number + 1}", file=sys.stderr, flush=True)
            for name, server in servers.items():
                for connections in (1, 16):
                    load = server.load(HERE / "load.lua", data.bodies(WORK, call), path, connections, args.seconds)
                    loads[name, connections].append(load)
    direct = _median(loads["direct", 1], "p50_ms")
    rows = [f"| {call}, over REST | lone request, median | added | requests/s, 16 connections |", "|---|---:|---:|---:|"]
    for name in servers:
        lone, rate = _median(loads[name, 1], "p50_ms"), _median(loads[name, 16], "rate")
        what = "of the server itself" if name == "direct" else f"through a relay, by {name}"
        added = "" if name == "direct" else f"{lone - direct:.3f} ms"
        rows.append(f"| {what} | {lone:.3f} ms | {added} | {rate:,.0f}/s |")
    rows.append(f"\nTarget: at most {TARGET_HOP_MS} ms added.\n")
    return "\n".join(rows)


def _median(loads, field):
    return statistics.median(load[field] for load in loads)


def _write(args, name, report):
    print(report, flush=True)
    if args.write:
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = REPORT.read_text().partition(begin)
        REPORT.write_text(f"{before}{begin}\n{report}\n{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    main()
