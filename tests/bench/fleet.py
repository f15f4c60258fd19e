"""Measures how the router spreads load, and whether a worker that hangs holds up the others.

    python3 tests/bench/fleet.py [--binary PATH] [--stub PATH] [--rounds N] [--seconds S] [--write]

Prints Markdown; `--write` puts it into docs/benchmarks.md. Needs what `router.py` needs. What is
measured and how is told in docs/benchmarks.md.
"""

import contextlib
import socket
import statistics
import sys
import time
import urllib.request
from functools import partial

from against_routir import HERE, WORK
from router import MODEL, NGINX_CONF, PATH, Process, options, parsed, write
from servers import free_port

WORKERS, CLIENTS, HANGING = 3, 48, 1000
BATCH, TAKES_MS = 8, 50
OURS, NGINX = "ours", "nginx, `least_conn`"
HANGS, IDLE = "hangs", "idle"


def main():
    args = parsed(options(__doc__, rounds=3, seconds=5))
    WORK.mkdir(parents=True, exist_ok=True)
    bodies = WORK / "router-bodies.jsonl"
    bodies.write_text('{"items": [{"text": "how do bees find their way"}]}\n')
    report = _spread(args, bodies) + "\n\n" + _isolation(args, bodies)
    print(report, flush=True)
    if args.write:
        write("fleet", report)


def _router(args, workers, name):
    port = free_port()
    serve = [args.binary, "router", "serve", "--host", "127.0.0.1", "--port", port]
    serve += ["--log-level", "warning"]
    for worker in workers:
        serve += ["-w", f"http://127.0.0.1:{worker.port}"]
    return Process(serve, port, WORK / f"fleet-{name}.log")


def _stub(args, *words):
    port = free_port()
    return Process([args.stub, port, *words], port, WORK / f"fleet-stub-{port}.log")


def _spread(args, bodies):
    """So many clients before three workers of equal speed."""
    alone, rates = [], {OURS: [], NGINX: []}
    with contextlib.ExitStack() as running:
        stubs = [_stub(args, MODEL, BATCH, TAKES_MS) for _ in range(WORKERS)]
        for stub in stubs:
            running.enter_context(stub).serves()
        ours = running.enter_context(_router(args, stubs, "ours"))
        port = free_port()
        conf = WORK / "fleet-nginx.conf"
        text = NGINX_CONF.format(work=WORK, worker=stubs[0].port, port=port)
        first = f"server 127.0.0.1:{stubs[0].port};"
        conf.write_text(text.replace(first, "".join(f"server 127.0.0.1:{it.port};" for it in stubs)))
        nginx = Process([args.nginx, "-p", WORK, "-c", conf], port, WORK / "fleet-nginx.log")
        sides = {OURS: ours, NGINX: running.enter_context(nginx)}
        for server in sides.values():
            server.serves()
        for number in range(args.rounds):
            print(f"bench: fleet, round {number + 1}", file=sys.stderr, flush=True)
            share = CLIENTS // WORKERS
            load = stubs[0].load(HERE / "load.lua", bodies, PATH, share, args.seconds)
            alone.append(load["rate"])
            for name, server in sides.items():
                load = server.load(HERE / "load.lua", bodies, PATH, CLIENTS, args.seconds)
                rates[name].append(load["rate"])
    ideal = WORKERS * statistics.median(alone)
    rows = [
        f"| {CLIENTS} clients, {WORKERS} workers of {BATCH} requests per {TAKES_MS} ms"
        " | requests/s | of the ideal |",
        "|---|---:|---:|",
        f"| the ideal: {WORKERS} times one worker with a share of the clients | {ideal:.0f}/s | |",
    ]
    for name, rounds in rates.items():
        rate = statistics.median(rounds)
        rows.append(f"| {name} | {rate:.0f}/s | {100 * rate / ideal:.1f} % |")
    share = 100 * statistics.median(rates[OURS]) / ideal
    rows.append(f"\nOf the ideal: **{share:.1f} %** (target: at least 95).")
    return "\n".join(rows)


def _isolation(args, bodies):
    """One client of an idle worker, before and while many wait for another that hangs."""
    path = f"/v1/encode/{IDLE}"
    with contextlib.ExitStack() as running:
        hanging = running.enter_context(_stub(args, HANGS, 0))
        idle = running.enter_context(_stub(args, IDLE))
        _listens(hanging)
        _listens(idle)
        router = running.enter_context(_router(args, [hanging, idle], "isolation"))
        _answers(router, path)
        load = partial(router.load, HERE / "load.lua", bodies, path, 1, args.seconds)
        before = load()
        held = [running.enter_context(_ask(router, f"/v1/encode/{HANGS}")) for _ in range(HANGING)]
        _in_flight(router, HANGING)
        during = load()
        for client in held:
            client.close()
        began = time.monotonic()
        _in_flight(router, 0)
        gone = time.monotonic() - began
    rows = [
        "| a lone client of an idle worker | median | p99 |",
        "|---|---:|---:|",
        f"| nobody else | {before['p50_ms']:.3f} ms | {before['p99_ms']:.2f} ms |",
        f"| {HANGING} requests wait for another worker, which hangs"
        f" | {during['p50_ms']:.3f} ms | {during['p99_ms']:.2f} ms |",
        f"\nAdded: **{during['p50_ms'] - before['p50_ms']:.3f} ms** (target: less than 10). After the"
        f" {HANGING} clients left, no request was with the worker after {gone:.2f} s (target: 1).",
    ]
    return "\n".join(rows)


def _ask(server, path):
    """A request whose answer nobody reads."""
    client = socket.create_connection(("127.0.0.1", server.port))
    body = b'{"items": [{}]}'
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return client


def _listens(server):
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit(f"{server._log.name}: it does not listen") from None
            time.sleep(0.02)


def _answers(server, path):
    end = time.monotonic() + 30
    while True:
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", b'{"items": [{}]}')
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if time.monotonic() > end:
            raise SystemExit(f"{server._log.name}: it does not serve {path}")
        time.sleep(0.05)


def _in_flight(server, count):
    """Waits until so many requests are with workers, as the router counts them."""
    end = time.monotonic() + 30
    series = "sie_router_worker_in_flight{"
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        now = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))
        if now == count:
            return
        if time.monotonic() > end:
            raise SystemExit(f"{now:.0f} requests are with workers, not {count}")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
