# SPDX-License-Identifier: MIT
"""One run of a program, or of a server and its load.

Every run is a process of its own, in a group of its own, which the kernel ends when this one ends, however it ends. A
program says what it measured in lines of JSON; status 77 means that it can't do that here, and says why.
"""
import ctypes
import json
import os
import re
import selectors
import signal
import subprocess
import time

CANT = 77
CORES = sorted(os.sched_getaffinity(0))

# What would change how the programs behave.
UNWANTED = re.compile(r"^(COIR_.*|GOMAXPROCS|GOGC|GODEBUG|GOMEMLIMIT|TOKIO_.*|UV_.*|MALLOC_.*|LD_PRELOAD)$")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not UNWANTED.match(k)}

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)
alive = set()


class RunFailed(Exception):
    """A run that went wrong."""


class CantRun(Exception):
    """A run that can't be here, and why."""


def start(command, core=None, env=None, **more):
    """Starts it; on the core of that number, where there are two."""
    parent = os.getpid()

    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        if core is not None and len(CORES) >= 2:
            os.sched_setaffinity(0, {CORES[core % len(CORES)]})

    process = subprocess.Popen(command, env=env or ENVIRONMENT, preexec_fn=prepare, process_group=0, **more)
    alive.add(process)
    return process


def end(process):
    """Nothing is left of it and of those it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    alive.discard(process)


def interrupt(process):
    """The same for a program that has started others in groups of their own, as ninja does: it may end them first."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    end(process)


def end_all():
    for process in list(alive):
        end(process)


def words(command):
    return " ".join(command)


def finish(process, command, timeout):
    """What it printed, when it has ended well."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"{words(command)}: no end after {timeout} s") from None
    finally:
        end(process)
    if process.returncode == CANT:
        raise CantRun((err.strip().splitlines() or ["it can't"])[-1])
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
        raise RunFailed(f"{words(command)}: {how}\n{err.strip()}".rstrip())
    return out


def rows_of(text, command):
    rows = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                row = json.loads(line)
                rows.append({"scenario": str(row["scenario"]), "runtime": str(row["runtime"]),
                             "threads": int(row["threads"]), "unit": str(row["unit"]), "value": float(row["value"]),
                             "checksum": str(row.get("checksum") or "")})
            except (ValueError, KeyError, TypeError) as e:
                raise RunFailed(f"{words(command)}: not a result: {line} ({e})") from None
    if not rows:
        raise RunFailed(f"{words(command)}: it printed no result")
    return rows


def run_program(command, timeout):
    process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return rows_of(finish(process, command, timeout), command)


# -- servers --------------------------------------------------------------------------------------

def first_line(process, seconds):
    """The first line of its output, or what came instead."""
    descriptor, line, patience = process.stdout.fileno(), b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0, patience - time.monotonic())):
                break
            byte = os.read(descriptor, 1)
            if not byte:
                break
            line += byte
    return line.decode(errors="replace").strip()


def start_server(command, core):
    """The process, and the address that it listens on."""
    server = start(command, core=core, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = first_line(server, 10)
    found = re.match(r"listening on (\S+)$", line)
    if found:
        return server, found.group(1)
    status = server.poll() if line else None
    try:
        server.stdin.close()
        server.stdin = None
        _, err = server.communicate(timeout=2)
        status = server.returncode
        err = err.decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        err = ""
    end(server)
    text = err or line or "it said nothing"
    if status == CANT:
        raise CantRun(text.splitlines()[-1])
    raise RunFailed(f"{words(command)}: no server: {text}")


def stop_server(server, command):
    """Asks it to stop, by the end of its input and then by SIGTERM; what it printed since it listened."""
    server.stdin.close()
    server.stdin = None
    try:
        try:
            out, err = server.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        raise RunFailed(f"{words(command)}: it did not stop within 15 s") from None
    finally:
        end(server)
    if server.returncode:
        raise RunFailed(f"{words(command)}: status {server.returncode}\n{err.decode(errors='replace').strip()}".rstrip())
    return out.decode(errors="replace")


def run_server(server_command, load_command, timeout, name, count):
    """The rows of both, under the server's number of threads. Those of the load, which call themselves "client", get its name.

    With one thread the server has a core and the load another. With more they share all cores, and the load has
    half as many workers as there are.
    """
    apart = count == 1
    server, address = start_server(server_command, 0 if apart else None)
    command = [*load_command, "-a", address, *([] if apart else ["-w", str(max(1, len(CORES) // 2))])]
    try:
        load = start(command, core=1 if apart else None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE, text=True)
        load_rows = rows_of(finish(load, command, timeout), command)
        said = stop_server(server, server_command)
    finally:
        end(server)
    rows = rows_of(said, server_command) if "{" in said else []
    if rows:
        name = rows[0]["runtime"]
    for row in load_rows:
        if row["runtime"] == "client":
            row["runtime"] = name
        row["threads"] = count
    return rows + load_rows
