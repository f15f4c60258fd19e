"""Starts, asks, measures and ends the servers of the comparison."""

import contextlib
import ctypes
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import time

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_START_LIMIT = 60.0


def _end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process, from its start to its first answer and then its end."""

    def __init__(self, command, config, log, env=None, arguments=()):
        self.port = free_port()
        self._log = open(log, "wb")
        cache = ["--cache_dir", str(log.parent / "cache")]
        argv = [*map(str, command), str(config), "--port", str(self.port), "--host", "127.0.0.1"]
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            argv + cache + [*map(str, arguments)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            preexec_fn=_end_with_parent,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def answers(self, method="GET", path="/ping", body=None):
        """Waits until the server answers and returns the seconds since its start."""
        while True:
            try:
                self.ask(method, path, body)
                return time.perf_counter() - self._began
            except OSError:
                if self._process.poll() is not None:
                    raise SystemExit(f"a server ended at start; see {self._log.name}") from None
                if time.perf_counter() - self._began > _START_LIMIT:
                    raise SystemExit(f"a server does not answer; see {self._log.name}") from None
                time.sleep(0.002)

    def ask(self, method, path, body=None):
        """One request on a connection of its own; the answer as JSON."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            text = None if body is None else json.dumps(body)
            client.request(method, path, text, {"Content-Type": "application/json"})
            response = client.getresponse()
            answer = json.loads(response.read())
        finally:
            client.close()
        if response.status != 200 or "error" in answer:
            raise SystemExit(f"{path} failed with {response.status}: {answer}")
        return answer

    def memory_mb(self):
        """Resident memory now, in MB of a million bytes."""
        with open(f"/proc/{self._process.pid}/status") as lines:
            kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return kib * 1024 / 1e6

    def cpu_seconds(self):
        """Processor time used so far."""
        with open(f"/proc/{self._process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def use_cores(self, cores):
        """Lets all threads of the server run on `cores` only."""
        for thread in os.listdir(f"/proc/{self._process.pid}/task"):
            with contextlib.suppress(ProcessLookupError):  # It has ended meanwhile.
                os.sched_setaffinity(int(thread), cores)

    def load_on_one_core(self, *load):
        """As `load`, server and client on the same core."""
        cores = os.sched_getaffinity(0)
        one = {max(cores)}
        self.use_cores(one)
        try:
            return self.load(*load, cores=one)
        finally:
            self.use_cores(cores)

    def load(self, script, bodies, path, connections, seconds, cores=None):
        """Lets wrk ask for `seconds` over `connections`; what it measured, with processor shares."""

        def prepare():
            _end_with_parent()
            if cores:
                os.sched_setaffinity(0, cores)

        url = f"http://127.0.0.1:{self.port}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
        command += ["-s", str(script), url, "--", str(bodies), path]
        before, client_before, all_before = self.cpu_seconds(), _children_cpu(), _all_cpu()
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, preexec_fn=prepare
        )
        measured = json.loads(done.stdout.rstrip().rpartition("\n")[2])
        if measured["errors"] or not measured["requests"]:
            raise SystemExit(f"the load on {path} met errors: {done.stdout}")
        measured["rate"] = measured["requests"] / measured["seconds"]
        measured["server_cpu"] = (self.cpu_seconds() - before) / measured["seconds"]
        measured["client_cpu"] = (_children_cpu() - client_before) / measured["seconds"]
        in_all = (_all_cpu() - all_before) / measured["seconds"]
        measured["other_cpu"] = in_all - measured["server_cpu"] - measured["client_cpu"]
        return measured


def _children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _all_cpu():
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, soft_irq, steal = stat.readline().split()[1:9]
    return sum(map(int, (user, nice, system, irq, soft_irq, steal))) / _CLOCK_TICKS
