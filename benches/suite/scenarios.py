# SPDX-License-Identifier: MIT
"""The scenarios, as their files say. benches/README.md tells what the keys mean."""
import os
import tomllib
from dataclasses import dataclass, field

from . import Failure

RUNTIMES = ["coir", "go", "tokio", "may", "libuv", "threads", "epoll", "uring", "floor"]
COMMANDS = ["list", "explain", "compare"]
GROUPS = ["messages", "tasks", "locks", "select", "time", "net", "memory"]

RUN_KEYS = {"runtime", "program", "args", "quick", "threads", "server", "quick_server", "load", "fewer", "timeout"}
SCENARIO_KEYS = {"about", "group", "run", "each", "quick_each", "same_work", "explain"}


@dataclass(frozen=True)
class Run:
    """One alternative. With a server, `program` is the load, of the runtime `load`."""
    runtime: str
    program: str
    args: list = field(default_factory=list)
    quick: list | None = None
    threads: bool | int = True  # takes -w N, and is run on one thread and on all; 1: on one only
    server: list | None = None
    quick_server: list | None = None
    load: str = "coir"
    fewer: bool = False  # does less than the others, unless quick: its checksum can't be theirs
    timeout: int = 120

    def arguments(self, quick):
        return self.quick if quick and self.quick is not None else self.args

    def server_command(self, quick):
        return self.quick_server if quick and self.quick_server is not None else self.server

    def programs(self):
        """(runtime, program) of all that has to be built for it."""
        if self.server:
            return [(self.runtime, self.server[0]), (self.load, self.program)]
        return [(self.runtime, self.program)]

    def counts(self, wanted):
        """On how many threads it is run, of those wanted. What takes no -w stands with those on one thread."""
        if self.threads is True:
            return wanted
        return [1] if 1 in wanted else []

    def compares(self, quick):
        return quick or not self.fewer


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    group: str
    runs: list
    each: list  # argument lists; every run is done with each of them
    quick_each: list
    same_work: bool  # equal checksums are expected
    explain: dict

    def variants(self, quick):
        return self.quick_each if quick else self.each

    def has_threads(self):
        return any(r.threads is True for r in self.runs)


def parse(path):
    name = os.path.splitext(os.path.basename(path))[0]

    def complain(text):
        raise Failure(f"{os.path.relpath(path)}: {text}", 2)

    try:
        with open(path, "rb") as f:
            data = tomllib.load(f)
    except tomllib.TOMLDecodeError as e:
        complain(e)
    for key in data:
        if key not in SCENARIO_KEYS:
            complain(f"there is no key '{key}'")
    for key in ("about", "group", "run"):
        if key not in data:
            complain(f"'{key}' is missing")
    if data["group"] not in GROUPS:
        complain(f"there is no group '{data['group']}'")
    runs = []
    for table in data["run"]:
        for key in table:
            if key not in RUN_KEYS:
                complain(f"a run has no key '{key}'")
        if table.get("runtime") not in RUNTIMES or "program" not in table:
            complain("a run needs a runtime and a program")
        runs.append(Run(**table))
    each = data.get("each", [[]])
    return Scenario(name, data["about"], data["group"], runs, each, data.get("quick_each", each),
                    data.get("same_work", True), data.get("explain", {}))


def load_all(root):
    folder = os.path.join(root, "benches", "scenarios")
    found = [parse(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".toml")]
    found.sort(key=lambda s: (GROUPS.index(s.group), s.name))
    return found


def choose(scenarios, names):
    """The scenarios of these names; a group's name stands for all of it, none for everything."""
    if not names or names == ["all"]:
        return scenarios
    chosen = []
    for name in names:
        matching = [s for s in scenarios if s.name == name] or [s for s in scenarios if s.group == name]
        if not matching:
            if name in COMMANDS:
                raise Failure(f"'{name}' comes first: ./bench {name}", 2)
            raise Failure(f"there is no scenario '{name}' (./bench list)", 2)
        chosen += [s for s in matching if s not in chosen]
    return chosen
