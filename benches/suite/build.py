# SPDX-License-Identifier: MIT
"""Builds the programs of coir and of its peers, and knows where they are.

A peer that can't be built here is left out, with a line that says how to get what is missing.
"""
import os
import re
import shlex
import shutil
import subprocess
from glob import glob

from . import Failure, runs

C_PEERS = {  # runtime -> folder of the sources, package for pkg-config, how to get that
    "libuv": ("peers/libuv", "libuv", "apt-get install libuv1-dev"),
    "uring": ("peers/uring", "liburing >= 2.3", "apt-get install liburing-dev; 2.3 or later"),
    "threads": ("peers/threads", None, None),
    "epoll": ("peers/epoll", None, None),
    "floor": ("floor", None, None),
}
CARGO = {"tokio": "Tokio", "may": "may"}


class LeftOut(Exception):
    """Why a peer can't be there."""


class Builds:
    def __init__(self, root, build=None):
        self.root = root
        self.build = os.path.abspath(build or os.environ.get("BUILD_DIR") or os.path.join(root, "build", "release"))
        self.benches = os.path.join(root, "benches")

    def path(self, runtime, program):
        if runtime == "coir":
            return os.path.join(self.build, "bench", program)
        if runtime == "go":
            return os.path.join(self.build, "peers", "go", program)
        if runtime in CARGO:
            return os.path.join(self.build, "peers", runtime, "release", program)
        return os.path.join(self.build, "peers", "c", runtime, program)

    def source(self, runtime, program):
        if runtime == "coir":
            return os.path.join(self.benches, f"{program}.c")
        if runtime == "go":
            return os.path.join(self.benches, "peers", "go", program, "main.go")
        if runtime in CARGO:
            return os.path.join(self.benches, "peers", runtime, "src", "bin", f"{program}.rs")
        return os.path.join(self.benches, C_PEERS[runtime][0], f"{program}.c")

    def check_sources(self, scenarios):
        for s in scenarios:
            for run in s.runs:
                for runtime, program in run.programs():
                    source = self.source(runtime, program)
                    if not os.path.exists(source):
                        raise Failure(f"scenario {s.name}: there is no {os.path.relpath(source, self.root)}")

    def make(self, needed):
        """Builds `needed`, runtime -> programs. What could not be: runtime -> why."""
        left_out = {}
        for runtime in sorted(needed, key=lambda r: r != "coir"):
            programs = sorted(needed[runtime])
            try:
                if runtime == "coir":
                    self.make_coir(programs)
                elif runtime == "go":
                    self.make_go(programs)
                elif runtime in CARGO:
                    self.make_cargo(runtime, programs)
                else:
                    self.make_c(runtime, programs)
            except LeftOut as reason:
                left_out[runtime] = str(reason)
        return left_out

    # -- one runtime each ---------------------------------------------------------------------------

    def run(self, log, command, **more):
        """Whether the command succeeded; what it said is in the file."""
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "a", encoding="utf-8") as out:
            process = runs.start(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)
        try:
            return process.wait() == 0
        finally:
            runs.interrupt(process)

    def fresh_log(self, name):
        log = os.path.join(self.build, "peers", f"{name}.log")
        if os.path.exists(log):
            os.remove(log)
        return log

    def make_coir(self, programs, options=()):
        log = os.path.join(self.build, "bench-build.log")
        if os.path.exists(log):
            os.remove(log)
        configure = ["cmake", "-S", self.root, "-B", self.build, "-DCMAKE_BUILD_TYPE=Release", "-DCOIR_BUILD_BENCH=ON"]
        if not os.path.exists(os.path.join(self.build, "CMakeCache.txt")):
            if shutil.which("ninja"):
                configure += ["-G", "Ninja"]
            if not has_package("check"):
                configure.append("-DCOIR_BUILD_TESTS=OFF")
        targets = [f"bench_{p}" for p in programs]
        if not shutil.which("cmake"):
            raise Failure("cmake is not installed (apt-get install cmake)")
        if not (self.run(log, [*configure, *options]) and
                self.run(log, ["cmake", "--build", self.build, "--parallel", str(os.cpu_count() or 1),
                               "--target", *targets])):
            raise Failure(f"{tail(log)}\ncoir could not be built; all of it is in {log}")

    def make_go(self, programs):
        if not shutil.which("go"):
            raise LeftOut("not installed (apt-get install golang-go, or https://go.dev/dl; 1.20 or later)")
        log, folder = self.fresh_log("go"), os.path.join(self.build, "peers", "go")
        os.makedirs(folder, exist_ok=True)
        env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
        for program in programs:
            if not self.run(log, ["go", "build", "-o", os.path.join(folder, program), f"./{program}"],
                            cwd=os.path.join(self.benches, "peers", "go"), env=env):
                raise LeftOut(f"could not be built (Go 1.20 or later: https://go.dev/dl): {log}")

    def make_cargo(self, runtime, programs):
        if not shutil.which("cargo"):
            raise LeftOut("no Cargo (https://rustup.rs)")
        log = self.fresh_log(runtime)
        env = {**os.environ, "CARGO_TARGET_DIR": os.path.join(self.build, "peers", runtime), "CARGO_NET_RETRY": "1",
               "CARGO_HTTP_TIMEOUT": "15"}
        bins = [word for p in programs for word in ("--bin", p)]
        if not self.run(log, ["cargo", "build", "--release", "--locked", *bins, "--manifest-path",
                              os.path.join(self.benches, "peers", runtime, "Cargo.toml")], env=env):
            raise LeftOut("could not be built (Rust 1.82 or later, https://rustup.rs, and the crates: "
                          f"once, with the network): {log}")

    def make_c(self, runtime, programs):
        folder, package, how = C_PEERS[runtime]
        flags = []
        if package:
            if not has_package(package):
                raise LeftOut(f"no {package} ({how})" if shutil.which("pkg-config") else
                              "no pkg-config (apt-get install pkg-config)")
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", package], capture_output=True, text=True,
                                   check=True).stdout.split()
        log, compiler = self.fresh_log(runtime), c_compiler()
        headers = [h for place in ("", "peers", folder) for h in glob(os.path.join(self.benches, place, "*.h"))]
        for program in programs:
            source, target = self.source(runtime, program), self.path(runtime, program)
            if newer(target, [source, *headers]):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not self.run(log, [*compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", target, source, *flags,
                                  "-pthread", "-lm"]):
                raise Failure(f"{tail(log)}\n{os.path.relpath(source, self.root)} could not be compiled")


def c_compiler():
    """The words it is called by."""
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if not shutil.which(words[0]):
        raise Failure(f"no C compiler '{words[0]}' (apt-get install gcc)")
    return words


def newer(target, sources):
    return os.path.exists(target) and all(os.path.getmtime(s) < os.path.getmtime(target) for s in sources)


def has_package(package):
    return bool(shutil.which("pkg-config")) and subprocess.run(["pkg-config", "--exists", package],
                                                               check=False).returncode == 0


def tail(path, lines=30):
    with open(path, encoding="utf-8", errors="replace") as f:
        return "".join(f.readlines()[-lines:])


def versions(runtimes):
    """One line: what the programs are made with."""
    def ask(pattern, *command):
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:
            return None
        found = re.search(pattern, said)
        return found.group(0) if found else None

    asked = [(None, ask(r"^.*$", *c_compiler(), "-dumpfullversion")),
             ("go", ask(r"go[0-9.]+", "go", "version")), ("tokio", ask(r"rustc [0-9.]+", "rustc", "--version"))]
    names = [f"cc {asked[0][1]}"] + [v for r, v in asked[1:] if v and r in runtimes]
    return ", ".join(names)
