"""Requests a second and their times of ``hetcomp serve`` under load, while exports are put in each other's place.

Needs wrk, and serves an export, or one of random vectors of CiteULike's size. Times need an idle machine; the load that
there was is written beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import psutil

from recbole_hetcomp.files import read_json, write_json

SCRIPT = """
local ids = { %s }
local n = tonumber(os.getenv("FIRST") or "0")
request = function()
  n = n + 1
  local user = ids[(n * 7919) %% #ids + 1]
  return wrk.format("POST", "/recommend", {["Content-Type"] = "application/json"}, '{"users":' .. user .. ',"k":%d}')
end
done = function(summary, latency, requests)
  local e = summary.errors
  local shape = '{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "max_ms": %%f, "failed": %%d}\\n'
  io.write(string.format(shape, summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def main() -> None:
    """Run the load and print what it gave."""
    given = arguments()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        exports = twice(folder, given.export) if given.export else random_exports(folder, given)
        found = {
            "workers": given.workers, "connections": given.connections, "k": given.k, "cores": os.cpu_count(),
            "other_load_before": other_load(),
            **measure(folder, exports, given),
        }  # fmt: skip
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--export", type=Path, help="an export; random vectors if not given")
    parser.add_argument("--users", type=int, default=5219)
    parser.add_argument("--items", type=int, default=25181)
    parser.add_argument("--dimensions", type=int, default=16)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--reloads", type=int, default=10, help="exports put in place during the load")
    parser.add_argument("--json", type=Path, help="where the numbers go besides stdout")
    return parser.parse_args()


def random_exports(folder: Path, given: argparse.Namespace) -> list[Path]:
    """Two exports of random vectors."""
    from export_folders import random_export

    return [
        random_export(folder / name, given.users, given.items, given.dimensions, seed)
        for seed, name in enumerate(("one", "other"))
    ]


def twice(folder: Path, export: Path) -> list[Path]:
    """An export, and a copy that is told apart from it by its manifest."""
    copy = Path(shutil.copytree(export, folder / "copy"))
    manifest = copy / "manifest.json"
    write_json(manifest, {**read_json(manifest), "copy": True})
    return [export, copy]


def measure(folder: Path, exports: list[Path], given: argparse.Namespace) -> dict[str, Any]:
    """Load one service for a while, exports put in place meanwhile."""
    link = folder / "served"
    link.symlink_to(exports[0].absolute())
    port = free_port()
    command = [sys.executable, "-m", "recbole_hetcomp.cli", "serve", str(link), f"--port={port}"]
    service = subprocess.Popen([*command, f"--workers={given.workers}"], stderr=subprocess.DEVNULL)
    try:
        wait_for(port, service)
        known = json.loads(urlopen(f"http://127.0.0.1:{port}/users?limit=100").read())["users"]
        script = folder / "load.lua"
        script.write_text(SCRIPT % (", ".join(json.dumps(json.dumps(user)) for user in known), given.k))
        load(script, port, given.connections, 2)  # warm
        before = cpu_seconds(service)
        begun = time.monotonic()
        running = start(script, port, given.connections, given.seconds)
        for turn in range(given.reloads):
            time.sleep(max(0, begun + (turn + 0.5) * given.seconds / given.reloads - time.monotonic()))
            put(link, exports[(turn + 1) % 2].absolute())
        found = numbers(running.communicate()[0])
        used = cpu_seconds(service) - before
        told = json.loads(urlopen(f"http://127.0.0.1:{port}/health").read())
        export = told["export"]
        return {
            "users x items x dimensions": f"{export['users']} x {export['items']} x {export['dimensions']}",
            **found,
            "requests_a_second": round(found["requests"] / found["seconds"], 1),
            "service_cpu_share": round(used / found["seconds"], 2),
            "reloads_asked": given.reloads,
            "reloads_of_one_worker": told["reloads"],
            "refused": told["refused"],
            "load_average_after": round(os.getloadavg()[0], 2),
        }
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)


def put(link: Path, target: Path) -> None:
    """Lead a link to another export, at once."""
    new = link.with_name("new-link")
    new.symlink_to(target)
    os.replace(new, link)


def start(script: Path, port: int, connections: int, seconds: int) -> subprocess.Popen[str]:
    """Begin a load."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", str(script), f"http://127.0.0.1:{port}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def load(script: Path, port: int, connections: int, seconds: int) -> dict[str, Any]:
    """What a load gives."""
    return numbers(start(script, port, connections, seconds).communicate()[0])


def numbers(printed: str) -> dict[str, Any]:
    """What the script prints last."""
    found = re.search(r"^\{.*\}$", printed, flags=re.MULTILINE)
    if found is None:
        sys.exit(f"wrk gave no numbers: {printed}")
    return json.loads(found[0])


def wait_for(port: int, service: subprocess.Popen[bytes]) -> None:
    """Until the service answers."""
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/health").read()
            return
        except OSError:
            if service.poll() is not None:
                sys.exit(f"the service ended with {service.returncode}")
            time.sleep(0.1)


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def cpu_seconds(service: subprocess.Popen[bytes]) -> float:
    """Processor time of the service and its workers."""
    process = psutil.Process(service.pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(np.sum([one.user + one.system for one in times]))


def other_load() -> float:
    """Share of all processors that others use, over two seconds."""
    return round(psutil.cpu_percent(2) / 100, 2)


if __name__ == "__main__":
    main()
