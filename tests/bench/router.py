"""Measures what the router adds to a request, beside nginx and SIE's router, in one run.

    python3 tests/bench/router.py [--binary PATH] [--sie-router PATH] [--rounds N] [--seconds S] [--write]

Prints Markdown; `--write` puts it into docs/benchmarks.md. Needs a release build with the example
`stub_worker` (`make bench` makes one), `nginx` and `wrk`. SIE's router is measured where the program
is named. What is compared and how is told in docs/benchmarks.md.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

from against_routir import HERE, REPORT, ROOT, WORK
from servers import Server, _end_with_parent, free_port

CONNECTIONS = (1, 64)
MODEL = "BAAI/bge-m3"
PATH = f"/v1/encode/{MODEL}"
DIRECT, NGINX, OURS, SIE = "the worker itself", "nginx", "ours", "SIE's router"
SLEEPING = "ours, without busy polling"
AUDITED = "ours, with its audit log"

NGINX_CONF = """
worker_processes auto; daemon off; pid {work}/nginx.pid; error_log {work}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {work}/nginx-body; proxy_temp_path {work}/nginx-proxy;
  fastcgi_temp_path {work}/x1; uwsgi_temp_path {work}/x2; scgi_temp_path {work}/x3;
  keepalive_requests 100000000;
  upstream workers {{ least_conn; server 127.0.0.1:{worker}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://workers; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


class Process(Server):
    """As a server of the comparison, started by a command of its own."""

    def __init__(self, command, port, log, env=None):
        self.port = port
        self._log = open(log, "wb")
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            preexec_fn=_end_with_parent,
        )

    def memory_mb(self):
        """Resident memory of the process and those that it started, in MB of a million bytes."""
        pids = [self._process.pid]
        with open(f"/proc/{pids[0]}/task/{pids[0]}/children") as children:
            pids += [int(pid) for pid in children.read().split()]
        kib = 0
        for pid in pids:
            with open(f"/proc/{pid}/status") as lines:
                kib += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return kib * 1024 / 1e6

    def serves(self):
        """Waits until a request goes through."""
        end = time.monotonic() + 30
        body = (WORK / "router-bodies.jsonl").read_bytes().splitlines()[0]
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}{PATH}", body)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    if answer.status == 200 and len(answer.read()) > 4096:
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise SystemExit(f"{self._log.name}: it does not serve")
            time.sleep(0.05)


def main():
    args = _arguments()
    WORK.mkdir(parents=True, exist_ok=True)
    texts = [f"how do bees find their way {number}" for number in range(100)]
    lines = [json.dumps({"items": [{"text": text}]}) for text in texts]
    bodies = WORK / "router-bodies.jsonl"
    bodies.write_text("\n".join(lines) + "\n")
    loads = defaultdict(list)
    with contextlib.ExitStack() as running:
        servers = {}
        for name, process in _processes(args):
            servers[name] = running.enter_context(process)
            servers[name].serves()
        for number in range(args.rounds):
            print(f"bench: router, round {number + 1}", file=sys.stderr, flush=True)
            for connections in CONNECTIONS:
                for name, server in servers.items():
                    load = server.load(HERE / "load.lua", bodies, PATH, connections, args.seconds)
                    loads[name, connections].append(load)
        memory = {name: server.memory_mb() for name, server in servers.items()}
    report = _table(loads, memory)
    print(report, flush=True)
    if args.write:
        write("router", report)


def write(part, report):
    """Puts `report` where docs/benchmarks.md has this part."""
    begin, end = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->\n"
    before, _, rest = REPORT.read_text().partition(begin)
    REPORT.write_text(f"{before}{begin}\n{report.strip()}\n\n{end}{rest.partition(end)[2]}")


def _arguments():
    parser = options(__doc__, rounds=5, seconds=3)
    parser.add_argument("--sie-router", type=Path, help="the program sie-router, 0.2.0")
    return parsed(parser)


def options(about, rounds, seconds):
    """What everybody is told who measures the router."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=target / "release" / "routir-rt")
    parser.add_argument("--stub", type=Path, help="the example stub_worker, if not beside the binary")
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds per number")
    parser.add_argument("--seconds", type=int, default=seconds, help="seconds of load per round")
    parser.add_argument("--write", action="store_true", help="rewrite docs/benchmarks.md")
    return parser


def parsed(parser):
    """The arguments, with the programs that are needed."""
    args = parser.parse_args()
    args.stub = args.stub or args.binary.parent / "examples" / "stub_worker"
    for needed in (args.binary, args.stub):
        if not needed.exists():
            parser.error(f"{needed} is missing; run `make bench`")
    args.nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(args.nginx).exists() or not shutil.which("wrk"):
        parser.error("nginx and wrk are needed; install Debian's packages nginx-light and wrk")
    return args


def _processes(args):
    """All sides, in the order in which they are started."""
    worker = free_port()
    yield DIRECT, Process([args.stub, worker, MODEL], worker, WORK / "router-stub.log")
    port = free_port()
    conf = WORK / "nginx.conf"
    conf.write_text(NGINX_CONF.format(work=WORK, worker=worker, port=port))
    yield NGINX, Process([args.nginx, "-p", WORK, "-c", conf], port, WORK / "router-nginx.log")
    serve = ["serve", "--host", "127.0.0.1", "-w", f"http://127.0.0.1:{worker}", "--port"]
    port = free_port()
    ours = [args.binary, "router", *serve, port]
    yield OURS, Process([*ours, "--log-level", "warning"], port, WORK / "router-ours.log")
    port = free_port()
    config = WORK / "router-sleeping.json"
    config.write_text(json.dumps({"limits": {"busy_poll_us": 0}}))
    sleeping = [args.binary, "router", *serve, port, "--config", config, "--log-level", "warning"]
    yield SLEEPING, Process(sleeping, port, WORK / "router-sleeping.log")
    port = free_port()
    audited = [args.binary, "router", *serve, port]
    yield AUDITED, Process(audited, port, WORK / "router-audited.log")
    if args.sie_router:
        catalogue = WORK / "sie-catalogue"
        for folder, text in (
            ("bundles/default.yaml", "name: default\npriority: 1\nadapters: [a]\ndefault: true\n"),
            ("models/m.yaml", f"sie_id: {MODEL}\nprofiles: {{default: {{adapter_path: 'a:A'}}}}\n"),
        ):
            (catalogue / folder).parent.mkdir(parents=True, exist_ok=True)
            (catalogue / folder).write_text(text)
        env = {"SIE_BUNDLES_DIR": str(catalogue / "bundles"), "SIE_MODELS_DIR": str(catalogue / "models")}
        port = free_port()
        yield SIE, Process([args.sie_router, *serve, port], port, WORK / "router-sie.log", env)


def _table(loads, memory):
    def median(name, connections, field):
        return statistics.median(load[field] for load in loads[name, connections])

    direct = median(DIRECT, 1, "p50_ms")
    rows = [
        "| | lone request, median | added | p99 | requests/s, 64 clients | p99 | memory after |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in memory:
        lone = median(name, 1, "p50_ms")
        added = "" if name == DIRECT else f"{lone - direct:.3f} ms"
        rows.append(
            f"| {name} | {lone:.3f} ms | {added} | {median(name, 1, 'p99_ms'):.2f} ms"
            f" | {median(name, 64, 'rate'):,.0f}/s | {median(name, 64, 'p99_ms'):.1f} ms"
            f" | {memory[name]:.0f} MB |"
        )
    nginx = median(NGINX, 1, "p50_ms") - direct
    rows.append("\nAgainst nginx (targets: at most 1 x the added time, 90 % of the requests/s):\n")
    for name in (OURS, SLEEPING):
        added = (median(name, 1, "p50_ms") - direct) / nginx
        rate = median(name, 64, "rate") / median(NGINX, 64, "rate")
        rows.append(f"- {name}: **{added:.2f} x** the added time, **{100 * rate:.0f} %** of the requests/s.")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
