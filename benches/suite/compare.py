# SPDX-License-Identifier: MIT
"""./bench compare: coir of two commits by turns, so that what else the machine does meets both."""
import argparse
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile

from . import Failure, build, results, runs, scenarios

DESCRIPTION = """\
./bench compare OLD NEW [SCENARIO...]

Builds two commits of coir in build/compare/ and runs the programs of both by turns: OLD NEW, then NEW OLD, and so on. OLD and
NEW are whatever git takes for a commit; "." is this folder as it lies there, with what is not committed. Scenarios and
arguments are those of this folder. What was built stays in build/compare/ for the next time and may be removed.

Printed are the medians, and the ratios NEW / OLD of medians and minima: above 1 is slower. A row is marked where the medians
differ by more than 5 % and the middle halves of the samples don't overlap, in 5 rounds or more. The exit status does not
depend on the figures; it is 1 where a program failed."""

NOISE = 0.05
FEW = 5


def git(root, *words):
    done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def checkout(root, name):
    """A folder with that commit in it."""
    if name == ".":
        return root
    if not shutil.which("git"):
        raise Failure("git is not installed (apt-get install git)")
    done = subprocess.run(["git", "-C", root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"there is no commit '{name}'" + (f": {done.stderr.strip()}" if done.stderr else ""), 2)
    commit = done.stdout.strip()
    folder = os.path.join(root, "build", "compare", commit[:12])
    if not os.path.exists(os.path.join(folder, "CMakeLists.txt")):
        unpack(root, commit, folder)
    return folder


def unpack(root, commit, folder):
    """The files of a commit, all or none; git knows nothing of them."""
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as place:
        git(root, "archive", "--format=tar", f"--output={place}/tar", commit)
        with tarfile.open(f"{place}/tar") as tar:
            tar.extractall(f"{place}/files")
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(f"{place}/files", folder)


class Side:
    """One of the two."""

    def __init__(self, root, name):
        self.name = name
        self.folder = checkout(root, name)
        place = os.path.join(root, "build", "compare", "here") if name == "." else os.path.join(self.folder, "build")
        self.builds = build.Builds(self.folder, os.path.join(place, "release") if name != "." else place)
        if not os.path.isdir(self.builds.benches):
            self.builds.benches = os.path.join(self.folder, "bench")  # as it was called before
        self.results = results.Results()

    def build(self, programs):
        """Those that it has."""
        there = {p for p in programs if os.path.exists(self.builds.source("coir", p))}
        if there:
            self.builds.make_coir(sorted(there), ["-DCOIR_BUILD_TESTS=OFF", "-DCOIR_BUILD_EXAMPLES=OFF"])
        return there

    def once(self, run, variant, count, quick, load):
        """`load` are the builds that the load of a server comes from, the same for both sides."""
        args, threads = run.arguments(quick), ["-w", str(count)] if run.threads is not False else []
        program = self.builds.path("coir", run.program)
        if run.server:
            server = run.server_command(quick)
            program = load.path("coir", run.program)
            rows = runs.run_server([self.builds.path("coir", server[0]), *server[1:], *threads, "--json"],
                                   [program, *args, *variant, "--json"], run.timeout, "coir", count)
        else:
            rows = runs.run_program([program, *args, *variant, *threads, "--json"], run.timeout)
        self.results.add(rows, "")


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def verdict(old, new, rate):
    """"slower" or "faster", where that is more than noise; of few samples nobody can tell."""
    if min(len(old.values), len(new.values)) < FEW:
        return ""
    ratio = new.median / old.median if old.median else 1
    (old_low, old_high), (new_low, new_high) = quartiles(old.values), quartiles(new.values)
    if abs(ratio - 1) <= NOISE or (old_low <= new_high and new_low <= old_high):
        return ""
    return "faster" if (ratio < 1) != rate else "slower"


def table(old, new):
    places = [p for p in old.results.places() if p in new.results.groups]
    wide = max([len("NEW / OLD"), *(len(p[0]) for p in places)])
    unit = max([4, *(len(p[2]) for p in places)])
    lines = [f"{'NEW / OLD':<{wide}}  thr  {'runtime':<12} {'unit':<{unit}}  {'old':>9} {'new':>9}  {'median':>7} {'min':>7}"]
    for place in places:
        rows = {row.runtime: row for row in new.results.at(place)}
        for a in old.results.at(place):
            b = rows.get(a.runtime)
            if b:
                least = min(b.values) / min(a.values) if min(a.values) else float("nan")
                middle = b.median / a.median if a.median else float("nan")
                lines.append(f"{place[0]:<{wide}}  {place[1]:>3}  {a.runtime:<12} {place[2]:<{unit}}  "
                             f"{results.number(a.median):>9} {results.number(b.median):>9}  {middle:7.3f} {least:7.3f}  "
                             f"{verdict(a, b, results.is_rate(place[2]))}".rstrip())
    for side, other in ((old, new), (new, old)):
        for place in side.results.places():
            if place not in other.results.groups:
                lines.append(f"only in {side.name}: {place[0]}, {place[1]} thread(s), {place[2]}")
    return "\n".join(lines)


def command(argv):
    from .cli import ROOT, Progress, positive, show, thread_counts
    parser = argparse.ArgumentParser(prog="./bench compare", description=DESCRIPTION, usage=argparse.SUPPRESS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less work in each run")
    parser.add_argument("--rounds", type=positive, default=11, metavar="N", help="how often each runs (11)")
    parser.add_argument("--threads", choices=["1", "all", "both"], default="both")
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO")
    args = parser.parse_args(argv)
    progress = Progress()
    chosen = scenarios.choose(scenarios.load_all(ROOT), args.scenario)
    sides = [Side(ROOT, args.old), Side(ROOT, args.new)]
    coir = [(s, r) for s in chosen for r in s.runs if r.runtime == "coir"]
    programs = {p for _, r in coir for _, p in r.programs()}
    there = set(programs)
    for side in sides:
        progress.say(f"building {side.name} ...")
        there &= side.build(programs)
    for name in sorted(programs - there):
        progress.note(f"{name} is left out: not in both")
    counts, gone, failures = thread_counts(args.threads), set(), 0
    for scenario, run in coir:
        if not all(p in there for _, p in run.programs()):
            continue
        turns = [(v, c) for v in scenario.variants(args.quick) for c in run.counts(counts if scenario.has_threads() else [1])]
        for number in range(args.rounds):
            progress.say(f"{scenario.name}: {' '.join(run.arguments(args.quick))}: round {number + 1} of {args.rounds}")
            for variant, count in turns:
                for side in sides if number % 2 == 0 else sides[::-1]:
                    key = (side, scenario.name, scenario.runs.index(run), tuple(variant), count)
                    if key in gone:
                        continue
                    try:
                        side.once(run, variant, count, args.quick, sides[1].builds)
                    except (runs.RunFailed, runs.CantRun) as what:
                        gone.add(key)
                        failures += isinstance(what, runs.RunFailed)
                        progress.note(f"{side.name}: {what}")
    show(table(*sides), progress)
    return 0 if sides[0].results.rows and sides[1].results.rows and not failures else 1
