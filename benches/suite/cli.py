# SPDX-License-Identifier: MIT
"""The command line of ./bench."""
import argparse
import os
import signal
import sys
import time

from . import Failure, build, compare, explain, pictures, results, runs, scenarios

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

DESCRIPTION = """\
./bench [OPTION...] [SCENARIO...]            builds coir and its peers, and measures them by turns
./bench list                                 the scenarios
./bench explain [OPTION...] SCENARIO...      where the time of a scenario goes
./bench compare OLD NEW [SCENARIO...]        two commits of coir by turns

A SCENARIO is one of ./bench list, or a group; none: everything. Each alternative runs once a round, A B C A B C, every run is
a process of its own; printed are medians, minima and maxima of the rounds, and how many times coir is ahead of each.
BUILD_DIR: where the release build is or shall be (build/release)."""


class Progress:
    """What goes on, on the standard error: a line that changes on a terminal, else a line each."""

    def __init__(self):
        self.terminal = sys.stderr.isatty()
        self.begin = time.monotonic()

    def say(self, text, fine=False):
        """`fine` is for a terminal only."""
        text = f"[{time.monotonic() - self.begin:5.0f} s] {text}"
        if self.terminal:
            sys.stderr.write(f"\r\033[K{text[:118]}")
        elif not fine:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def clear(self):
        if self.terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def note(self, text):
        """A line that stays."""
        self.clear()
        print(text, file=sys.stderr, flush=True)


def show(text, progress):
    progress.clear()
    print(text, flush=True)


# -- what to run ----------------------------------------------------------------------------------

def wanted_peers(text):
    """None for all."""
    if text is None:
        return None
    names = [n for n in text.replace(",", " ").split() if n != "none"]
    if not text.strip(", "):
        raise Failure(f"--peers: which? ({', '.join(scenarios.RUNTIMES[1:])}, or none)", 2)
    for name in names:
        if name not in scenarios.RUNTIMES:
            raise Failure(f"there is no peer '{name}' ({', '.join(scenarios.RUNTIMES[1:])}, or none)", 2)
    return {"coir", *names}


def thread_counts(text):
    every = len(runs.CORES)
    return {"1": [1], "all": [every], "both": [1, every] if every > 1 else [1]}[text]


class Bench:
    """One measurement of everything that was asked for."""

    def __init__(self, args):
        self.args = args
        self.rounds = args.rounds or (3 if args.quick else 7)
        self.peers = wanted_peers(args.peers)
        self.scenarios = scenarios.choose(scenarios.load_all(ROOT), args.scenario)
        self.builds = build.Builds(ROOT)
        self.counts = thread_counts(args.threads)
        self.results = results.Results()
        self.progress = Progress()
        self.gone = {}  # (scenario, run, variant, threads) -> why it is not tried again
        self.failures = []

    def runs_of(self, scenario):
        return [r for r in scenario.runs if self.peers is None or r.runtime in self.peers]

    def build(self):
        self.builds.check_sources(self.scenarios)
        needed = {}
        for s in self.scenarios:
            for run in self.runs_of(s):
                for runtime, program in run.programs():
                    needed.setdefault(runtime, set()).add(program)
        self.progress.say(f"building {', '.join(r for r in scenarios.RUNTIMES if r in needed)} ...")
        self.left_out = self.builds.make(needed)
        for runtime, why in self.left_out.items():
            self.progress.note(f"{runtime} is left out: {why}")

    def once(self, scenario, run, variant, count):
        """One run on `count` threads. `variant` are more arguments."""
        args, threads = run.arguments(self.args.quick), [] if run.threads is False else ["-w", str(count)]
        program = self.builds.path(run.load if run.server else run.runtime, run.program)
        if run.server:
            server = run.server_command(self.args.quick)
            command = [self.builds.path(run.runtime, server[0]), *server[1:], *threads, "--json"]
            rows = runs.run_server(command, [program, *args, *variant, "--json"], run.timeout, run.runtime, count)
        else:
            rows = runs.run_program([program, *args, *variant, *threads, "--json"], run.timeout)
        self.results.add(rows, scenario.group, scenario.same_work and run.compares(self.args.quick))

    def turns(self, scenario):
        """Who runs in a round, in order: (run, variant, threads)."""
        # Where nothing is for all threads, there is nothing to choose.
        counts = self.counts if scenario.has_threads() else [1]
        return [(run, variant, count) for variant in scenario.variants(self.args.quick) for count in counts
                for run in self.runs_of(scenario)
                if count in run.counts(counts) and not any(r in self.left_out for r, _ in run.programs())]

    def round(self, scenario, round_number):
        self.progress.say(f"{scenario.name}: round {round_number} of {self.rounds}")
        for i, (run, variant, count) in enumerate(self.turns(scenario)):
            key = (scenario.name, scenario.runs.index(run), tuple(variant), count)
            if key in self.gone:
                continue
            who = " ".join([run.runtime, (run.server or [run.program])[0], *variant])
            self.progress.say(f"{scenario.name}: round {round_number} of {self.rounds}: {who}, {count} thread(s)", True)
            try:
                self.once(scenario, run, variant, count)
            except runs.CantRun as why:
                self.gone[key] = why
                self.progress.note(f"{scenario.name}: {who} is left out: {why}")
            except runs.RunFailed as what:
                self.gone[key] = what
                self.failures.append(str(what))
                self.progress.note(f"{scenario.name}: failed: {what}")

    def check_outputs(self):
        """To know now that they can be written, not in an hour."""
        for option, path, check in (("--json", self.args.json, results.check_writable),
                                    ("--pictures", self.args.pictures, pictures.prepare)):
            if path is not None:
                try:
                    check(path)
                except OSError as e:
                    raise Failure(f"{option}: {path}: {e.strerror}") from None

    def write(self, end=False):
        if self.args.json:
            self.results.write_json(self.args.json, end)

    def measure(self):
        for scenario in self.scenarios:
            before = set(self.results.places())
            for number in range(1, self.rounds + 1):
                self.round(scenario, number)
            fresh = [p for p in self.results.places() if p not in before]
            if fresh:
                show(self.results.table(fresh) + "\n", self.progress)
            self.write()

    def finish(self):
        wrong = self.results.disagreements()
        text = self.results.summary()
        if text:
            show(text, self.progress)
        if self.results.rows:
            said = pictures.draw(self.results, self.args.pictures)
            show(f"\n{said}", self.progress)
        for line in wrong:
            self.progress.note(f"bench: {line}")
        if self.failures:
            self.progress.note(f"bench: {len(self.failures)} of the programs failed")
        return 1 if wrong or self.failures else 0


def machine(runtimes):
    name = "?"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    system = os.uname()
    return (f"{time.strftime('%Y-%m-%d')}, {name}, {len(runs.CORES)} cores, {system.sysname} {system.release}; "
            f"{build.versions(runtimes)}")


def command_run(argv):
    parser = argparse.ArgumentParser(prog="./bench", description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     usage=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="less work in each run, and 3 rounds: to see that all works")
    parser.add_argument("--rounds", type=positive, metavar="N", help="how often each runs (7)")
    parser.add_argument("--threads", choices=["1", "all", "both"], default="both", help="of each runtime (both)")
    parser.add_argument("--peers", metavar="LIST", help="only these: go,tokio,may,libuv,threads,epoll,uring,floor; or none")
    parser.add_argument("--json", metavar="FILE", help="also write the rows there, an array of objects")
    parser.add_argument("--pictures", metavar="DIR", default=os.path.join(ROOT, "build", "pictures"),
                        help="where the charts go (build/pictures)")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO")
    bench = Bench(parser.parse_args(argv))
    bench.check_outputs()
    load = os.getloadavg()[0]
    if load > 0.5:
        bench.progress.note(f"bench: the machine has other work (load {load:.1f}): so will the figures")
    bench.build()
    show(machine([r for s in bench.scenarios for r in (x.runtime for x in bench.runs_of(s))]) + "\n", bench.progress)
    try:
        bench.measure()
    finally:
        if bench.results.rows:  # else what was there before stays
            bench.write(end=True)
    return bench.finish()


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def command_list(argv):
    if argv:
        raise Failure(f"list takes nothing, not '{argv[0]}'", 2)
    group = None
    for s in scenarios.load_all(ROOT):
        if s.group != group:
            group = s.group
            print(f"{group}:")
        who = ", ".join(r for r in scenarios.RUNTIMES if any(x.runtime == r for x in s.runs))
        print(f"  {s.name:<20} {s.about}\n  {'':<20} ({who})")
    return 0


def main(argv):
    def stop(number, _frame):
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGINT, stop)  # also where a shell began us with it ignored
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    commands = dict(zip(scenarios.COMMANDS, (command_list, explain.command, compare.command)))
    try:
        if argv and argv[0] in commands:
            return commands[argv[0]](argv[1:])
        return command_run(argv)
    except Failure as f:
        print(f"bench: {f}", file=sys.stderr)
        return f.status
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    finally:
        runs.end_all()
