# SPDX-License-Identifier: MIT
"""./bench explain: where the time of a scenario goes: counters, a budget by step, and the hot code with its counts.

Three looks at the same program, built as the release is but with line tables and at fixed addresses:

  time      its own figure, the median of several runs
  samples   where the instruction pointer was, 50,000 times a second of processor time (sample.c)
  counts    each instruction executed, by callgrind: a long run less a short one, so that starting and ending cancel out

A sample's share of all samples, times the time, is the time of its instruction; so the budget adds up to the total. What step
an instruction belongs to is told by the (inlined) function that it comes from: STEPS. A processor charges a slow instruction
to one of the next ones, so look at neighbours together.

Where perf_event_open(2) gives no samples, an instruction's time is its share of the instructions executed. Of a scenario of
the net it is the server that is looked at, and the time is its processor time. With --peer the program is that of another
runtime: time, counters, and samples by function.
"""
import argparse
import bisect
import collections
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

from . import Failure, build as builds, runs, scenarios

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.realpath(os.environ.get("EXPLAIN_DIR") or os.path.join(ROOT, "build", "explain"))

# step -> functions; the first that matches an instruction's chain of inlined functions, innermost first
STEPS = [
    ("lock and unlock the object", r"coir__lock_(try|take|drop|wait)$"),
    ("claim the waiter", r"coir__claim(_single|_first|_all)?$"),
    ("copy the element", r"(copy_simple|copy_any|slot_at|ring_refill|ring_prefetch|mem(cpy|move)\b.*|(?<!coir__)ring_p(ush|op))$"),
    ("queue the waiter", r"coir__(wait_queue(_ready)?|list_\w+)$"),
    ("note the wait, for dumps and cancellers", r"coir__(park_show|wait_note)$"),
    ("make it runnable", r"coir__(wake\w*|runnable\w*|ring_push|inject\w*)$"),
    ("pick the next", r"coir__(lifo_take|pick\w*|ring_pop\w*|park_short|park_picking|eh_in_use)$"
                      r"|(slot_or_ring|(try_)?search\w*|steal|take_(own|ring)|(private|inbox)_take|queue_yielded)$"),
    ("sockets: try, note, park", r"(coir__(io\w*|attempt\w*|park_io|fd_\w+|op_\w+)|coir_op_\w+|(attempt_|uring_a|epoll_a)\w+)$"),
    ("switch", r"coir__switch\w*$"),
    ("charge and yield", r"(coir__charge\w*|coir_yield|yield_\w+)$"),
    ("spawn", r"(task_spawn|spawn_into|group_admit|task_launch|flags_of|count_spawn|coir_spawn\w*|coir__task_(alloc|new_id))$"),
    ("stacks", r"coir__stack_\w+$|cache_\w+$"),
    ("begin and end of a task", r"(coir__task_\w+|task_\w+|coir__group_task_done|group_leave|decide\w*|root_note|joiner_wake)$"),
    ("join", r"(coir_join|coir__join\w*|take_locked|lock_settled|is_joinable|waits_for|coir__group_forget)$"),
    ("look at the worker, enter the call", r"coir__(worker_near|worker_or_null|worker_here|is_cancelled|must_attend)$"),
    ("enter the call, decide", r"coir_\w+$|(send|recv)_\w+$"),
    ("timers, kernel, clock", r"((coir__)?worker_(idle|pump|run|tick|rest|rise|sleep|switch|trim\w*)|pump|nap\w*|poll_now_and_then"
                                r"|(coir__)?patrol\w*|sleep_watching|time_to_timer|run_until_stopped|coir__runtime_now|coir__now"
                                r"|uring_\w+|epoll_\w+|clock_now|__vdso.*|coir__wheel\w*)$"),
]
REST = "the program, and landing in it"


class Subject:
    """What is explained: a program, and how its work is told.

    A scenario's file says it in [explain.NAME]; benches/README.md tells what the keys mean. A scenario without is run as it
    is; then there is nothing to divide the counts by.
    """

    def __init__(self, scenario, name, table, peer):
        self.name = name
        self.run = pick_run(scenario, table, peer)
        self.args = table.get("args", [] if table else self.run.args)
        self.option, self.time, self.count = table.get("option"), table.get("time", 0), table.get("count", 0)
        self.what, self.each = table.get("what", "operation"), table.get("each", 1)
        self.figure, self.processor_time = table.get("figure"), table.get("processor_time", False)

    @property
    def program(self):
        """What is looked at."""
        return self.run.server[0] if self.run.server else self.run.program

    def how_much(self, n):
        return [self.option, str(n)] if self.option and n else []

    def measure(self, places, n, threads, wrapper=()):
        """Runs it, inside the words of `wrapper`; nanoseconds for each of what it calls one.

        `places` are functions from a program's name to its path: of what is looked at, and of a server's load.
        """
        workers = ["-w", str(threads)] if self.run.threads is not False else []
        if self.run.server:
            server = [*wrapper, places[0](self.program), *self.run.server[1:], *workers, "--json"]
            load = [places[1](self.run.program), *self.run.args, *self.args, *self.how_much(n), "--json"]
            rows = runs.run_server(server, load, 300, self.run.runtime, threads)
            return figure_of(self, rows)
        command = [*wrapper, places[0](self.program), *self.args, *workers, *self.how_much(n), "--json"]
        before = processor_time()
        # Threads of valgrind wait for each other while one is in io_uring: there the sockets' engine is of no matter anyway.
        more = {"env": {**runs.ENVIRONMENT, "COIR_ENGINE": "epoll"}} if "valgrind" in wrapper else {}
        rows = runs.rows_of(run(command, **more), command)
        if self.processor_time:
            return (processor_time() - before) / (n * self.each)
        return figure_of(self, rows)


def processor_time():
    """Of the programs that have ended, ns."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


def figure_of(subject, rows):
    """Nanoseconds for each of what the program calls one; the sum, where it reports several.

    A figure that stands beside several of coir's (Tokio's ping-pong) is reported under several names, and counts once.
    """
    prefix = "server CPU " if subject.run.server else ""
    found = set()
    for row in rows:
        unit = re.match(prefix + "(ns|us)( |$)", row["unit"])
        if unit and subject.figure in (None, row["scenario"]):
            found.add(row["value"] * (1000 if unit.group(1) == "us" else 1))
    if not found:
        fail(f"{subject.name} measures no time, so there is nothing to divide")
    return sum(found)


def pick_run(scenario, table, peer):
    """The run of that runtime; of several, the one whose arguments are most like those wanted."""
    found = [r for r in scenario.runs if r.runtime == peer]
    if not found:
        raise Failure(f"{scenario.name} has no program of {peer} to explain", 2)
    wanted = table.get("args", []) + table.get("server", [])

    def likeness(r):
        words = r.args + (r.server or [])
        return sum(word in wanted for word in words) - sum(word not in wanted for word in words)

    return max(found, key=likeness)


def subjects():
    """Names that can be explained -> (scenario, table)"""
    found = {}
    for s in scenarios.load_all(ROOT):
        for name, table in s.explain.items():
            found[name] = (s, table)
        if any(not r.server for r in s.runs):
            found.setdefault(s.name, (s, {}))
    return found


def fail(text):
    raise Failure(f"explain: {text}")


def run(command, **more):
    """What it printed. It is one of those that end with us."""
    process = runs.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    try:
        out, err = process.communicate()
    finally:
        runs.interrupt(process)
    if process.returncode:
        fail(f"{' '.join(command)} failed:\n{out}{err}")
    return out


def build_sampler():
    os.makedirs(BUILD, exist_ok=True)
    sampler = os.path.join(BUILD, "sample")
    run([*builds.c_compiler(), "-std=gnu11", "-O2", "-o", sampler, os.path.join(HERE, "sample.c")])
    return sampler


def place(program):
    return os.path.join(BUILD, "bench", program)


def build(programs):
    """The programs with line tables."""
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DCOIR_BUILD_BENCH=ON", "-DCOIR_BUILD_TESTS=OFF", "-DCOIR_BUILD_EXAMPLES=OFF",
               "-DCMAKE_C_FLAGS=-g", "-DCMAKE_ASM_FLAGS=-g", "-DCMAKE_EXE_LINKER_FLAGS=-no-pie"]
    if not shutil.which("cmake"):
        fail("cmake is not installed (apt-get install cmake)")
    if shutil.which("ninja"):
        options += ["-G", "Ninja"]
    if not os.path.exists(os.path.join(BUILD, "CMakeCache.txt")):
        run(["cmake", "-S", ROOT, "-B", BUILD, *options])
    run(["cmake", "--build", BUILD, "--parallel", "--target", *(f"bench_{p}" for p in programs)])


# -- samples --------------------------------------------------------------------------------------

class Samples:
    def __init__(self, path):
        self.counters = {}
        self.at = collections.Counter()
        self.maps = []
        self.places = []  # the same with offsets in the file
        with open(path, encoding="utf-8") as f:
            for line in f:
                words = line.rstrip("\n").split(maxsplit=4)  # a path may have blanks
                if words[0] == "counter":
                    self.counters[words[1]] = int(words[2])
                elif words[0] == "map":
                    path = words[4] if len(words) > 4 else ""
                    self.maps.append((int(words[1], 16), int(words[2], 16), path))
                    self.places.append((int(words[1], 16), int(words[2], 16), int(words[3], 16), path))
                else:
                    self.at[int(words[1], 16)] += int(words[2])

    def stand_in(self, program, counts):
        """Counts of instructions in the place of samples."""
        self.maps = [(0, 1 << 64, program)]
        self.at = collections.Counter(counts)

    def place(self, address):
        """The file an address lies in."""
        for start, length, path in self.maps:
            if start <= address < start + length:
                return path
        return "kernel" if address == 0 else "?"


def take_samples(measure):
    """`measure` runs the program, inside the words that it gets."""
    sampler = build_sampler()
    with tempfile.NamedTemporaryFile() as f:
        measure([sampler, "-o", f.name])
        return Samples(f.name)


# -- counts ---------------------------------------------------------------------------------------

def count_once(measure):
    """Executed instructions by address. Needs the fixed addresses of the program; libraries count too, but far away."""
    counts = collections.Counter()
    with tempfile.NamedTemporaryFile() as f:
        measure(["valgrind", "-q", "--tool=callgrind", "--dump-instr=yes", "--compress-strings=no", "--compress-pos=no",
                 f"--callgrind-out-file={f.name}"])
        skip = False
        with open(f.name, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("0x"):
                    if not skip:
                        words = line.split()
                        counts[int(words[0], 16)] += int(words[-1])
                    skip = False
                elif line.startswith("calls="):
                    skip = True  # the next line has the cost of what is called
    return counts


def count(measure, n):
    """`measure` runs it with that much to do, inside the words that it gets."""
    few, many = (count_once(lambda wrapper: measure(much, wrapper)) for much in (n, 3 * n))
    return {a: (many[a] - few[a]) / (2 * n) for a in many if many[a] != few[a]}


# -- what is where --------------------------------------------------------------------------------

def chains(program, addresses):
    """address -> names of the functions it comes from, innermost first."""
    if not addresses:
        return {}
    text = subprocess.run(["addr2line", "-a", "-i", "-f", "-e", program], input="\n".join(hex(a) for a in addresses),
                          capture_output=True, text=True, check=True).stdout
    found, now = {}, None
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("0x"):
            now = found.setdefault(int(line, 16), [])
        else:
            now.append(line)
            next(lines)  # file and line
    return found


def step_of(chain):
    for name in chain:
        name = re.sub(r"\.(part|constprop|isra|cold)\b.*", "", name)
        for step, pattern in STEPS:
            if re.match(pattern, name):
                return step
    return REST


def budget(program, samples, counts, ns):
    total = sum(samples.at.values())
    times, numbers = collections.Counter(), collections.Counter()
    known = chains(program, sorted(set(samples.at) | set(counts)))
    for address, n in samples.at.items():
        place = samples.place(address)
        if place == program:
            step = step_of(known.get(address, []))
        elif place == "kernel":
            step = "the system"
        else:
            step = "timers, kernel, clock" if "vdso" in place else f"in {os.path.basename(place)}"
        times[step] += ns * n / total
    for address, n in counts.items():
        chain = known.get(address, ["??"])
        if chain[0] != "??":
            numbers[step_of(chain)] += n
    return times, numbers


def disassembly(program):
    """function -> list of (address, text)."""
    functions, now = {}, None
    for line in run(["objdump", "-d", "--no-show-raw-insn", program]).splitlines():
        head = re.match(r"^[0-9a-f]+ <([^>]+)>:$", line)
        if head:
            now = functions.setdefault(head.group(1), [])
            continue
        code = re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line)
        if code and now is not None:
            now.append((int(code.group(1), 16), code.group(2)))
    return functions


def print_hot(program, samples, counts, ns, most):
    """The functions that matter, instruction by instruction; runs of what is not executed are left out."""
    total = sum(samples.at.values())
    functions = disassembly(program)
    weight = {name: sum(counts.get(a, 0) for a, _ in code) for name, code in functions.items()}
    printed = 0
    for name in sorted(weight, key=weight.get, reverse=True):
        if weight[name] < 2 or printed >= most:
            break
        print(f"\n{name}: {weight[name]:.1f} instructions\n\n      times     ns  instruction")
        gap = False
        for address, text in functions[name]:
            times, spent = counts.get(address, 0), ns * samples.at.get(address, 0) / total
            if times < 0.01:
                gap = True
                continue
            if gap:
                print("                    ...")
            gap = False
            printed += 1
            print(f"  {times:9.2f} {spent:6.2f}  {text}")


# -- the report -----------------------------------------------------------------------------------

def print_counters(samples, operations):
    """Per operation, or all of them where nobody knows how many there were."""
    def show(value):
        return f"{value / operations:12.5f}" if operations else f"{value:12d}"

    for counter, value in samples.counters.items():
        if counter != "task-clock":
            print(f"  {counter:18} {show(value)}")
    for counter in ("instructions", "cycles", "branch-misses", "cache-misses"):
        if counter not in samples.counters:
            print(f"  {counter:18}            - (not counted by this machine)")


def explain(subject, args):
    build({program for _, program in subject.run.programs()})
    path, say = place(subject.program), sys.stderr.write
    look = (path, subject, args)

    def measure(n, wrapper=()):
        return subject.measure((place, place), n, args.threads, wrapper)

    say(f"{subject.name}: time ...\n")
    ns = statistics.median(measure(subject.time) for _ in range(args.rounds))
    say(f"{subject.name}: samples ...\n")
    samples = take_samples(lambda wrapper: measure(subject.time, wrapper))
    counts = {}
    if not subject.option:
        say(f"explain: no counts of instructions: [explain.{subject.name}] in its file would say how much work there is\n")
    elif subject.run.server and args.threads > 1:
        say("explain: no counts of instructions of a server on several threads: valgrind can't wait in io_uring with one of them\n")
    elif shutil.which("valgrind"):
        say(f"{subject.name}: counts ...\n")
        counts = {a: n / subject.each for a, n in count(measure, subject.count).items()}
    else:
        say("explain: no valgrind: no counts of instructions (apt-get install valgrind)\n")
    report(look, ns, samples, counts)


def report(look, ns, samples, counts):
    path, subject, args = look
    estimated = not samples.at
    if estimated:
        if not counts:
            fail("neither samples nor counts: is /proc/sys/kernel/perf_event_paranoid above 2?")
        samples.stand_in(path, counts)
    print(f"{subject.name}: {ns:.1f} ns a {subject.what}, {args.threads} thread(s)\n")
    print_counters(samples, subject.time * subject.each)
    if counts:
        print(f"  {'instructions':18} {sum(counts.values()):12.1f} (callgrind)")
    if estimated:
        print("  no samples (perf_event_open): the times below are shares of the instructions")
    times, numbers = budget(path, samples, counts, ns)
    print(f"\n  {'step':44} {'ns':>7} {'%':>5} {'instructions':>13}")
    for step, spent in times.most_common():
        print(f"  {step:44} {spent:7.2f} {100 * spent / ns:5.1f} {numbers.get(step, 0):13.1f}")
    print(f"  {'all':44} {sum(times.values()):7.2f} {100.0:5.1f} {sum(numbers.values()):13.1f}")
    if counts:
        print_hot(path, samples, counts, ns, args.lines)


# -- peers ----------------------------------------------------------------------------------------

class Symbols:
    """The functions of a file, by address in memory."""

    def __init__(self, path):
        self.starts, self.names = [], []
        listed = subprocess.run(["nm", "-C", "--defined-only", "-n", path], capture_output=True, text=True, check=False)
        for line in listed.stdout.splitlines():
            found = re.match(r"([0-9a-f]+) [tTwW] (.+)$", line)
            if found:
                self.starts.append(int(found.group(1), 16))
                self.names.append(found.group(2))
        self.segments = []  # offset in the file, address, size
        headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=False).stdout
        for found in re.finditer(r"LOAD +0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+)", headers):
            self.segments.append(tuple(int(x, 16) for x in found.groups()))

    def name(self, offset):
        """Of the function at that place of the file."""
        for start, address, size in self.segments:
            if start <= offset < start + size:
                at = bisect.bisect(self.starts, offset - start + address) - 1
                return shorter(self.names[at]) if at >= 0 else None
        return None


def shorter(name):
    """Without the hash and the generic arguments of Rust."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    while re.search(r"<[^<>]*>", name) and len(name) > 90:
        name = re.sub(r"<[^<>]*>", "", name, count=1)
    return name


def by_function(samples):
    """(file, function) -> samples"""
    known, found = {}, collections.Counter()
    for address, n in samples.at.items():
        if address == 0:
            found[("", "the kernel")] += n
            continue
        for start, length, offset, path in samples.places:
            if start <= address < start + length:
                if path not in known:
                    known[path] = Symbols(path) if os.path.exists(path) else None
                name = known[path].name(address - start + offset) if known[path] else None
                found[(os.path.basename(path), name or "?")] += n
                break
        else:
            found[("", "?")] += n
    return found


def explain_peer(subject, args):
    runtime = subject.run.runtime
    there, needed = builds.Builds(ROOT), {}
    for name, program in subject.run.programs():
        needed.setdefault(name, set()).add(program)
    left_out = there.make(needed)
    if left_out:
        fail(f"{runtime} is left out: {left_out[runtime]}")
    # What is a moment for coir may be minutes for a peer: as much as the scenario itself does.
    work, options = subject.time if runtime in ("go", "tokio", "floor") or subject.run.server else 0, subject.run.args
    if not subject.run.server:
        subject.args = list(options)
        if subject.option in options:
            at = options.index(subject.option)
            work, subject.args = int(options[at + 1]), options[:at] + options[at + 2:]
    places = (lambda program: there.path(runtime, program), lambda program: there.path(subject.run.load, program))
    sys.stderr.write(f"{subject.name}, {runtime}: time ...\n")
    ns = statistics.median(subject.measure(places, work, args.threads) for _ in range(args.rounds))
    sys.stderr.write(f"{subject.name}, {runtime}: samples ...\n")
    samples = take_samples(lambda wrapper: subject.measure(places, work, args.threads, wrapper))
    if not samples.at:
        fail("no samples: is /proc/sys/kernel/perf_event_paranoid above 2?")
    program = os.path.basename(places[0](subject.program))
    told = " ".join([*(subject.run.server or [program])[0:], *subject.args, *subject.how_much(work)])
    print(f"{subject.name}, {runtime} ({told}): {ns:.1f} ns a {subject.what}, {args.threads} thread(s)\n")
    print_counters(samples, work * subject.each)
    total = sum(samples.at.values())
    print(f"\n  {'function':90} {'ns':>8} {'%':>5}")
    rest = total
    for (file, name), n in by_function(samples).most_common(args.functions):
        where = f" [{file}]" if file not in ("", program) else ""
        print(f"  {(name + where)[:90]:90} {ns * n / total:8.2f} {100 * n / total:5.1f}")
        rest -= n
    print(f"  {'others':90} {ns * rest / total:8.2f} {100 * rest / total:5.1f}")
    print(f"  {'all':90} {ns:8.2f} {100.0:5.1f}")


def command(argv):
    from .cli import positive
    parser = argparse.ArgumentParser(prog="./bench explain", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="runs for the time (5)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="of the runtime (1)")
    parser.add_argument("--lines", type=positive, default=250, metavar="N", help="of disassembly, about (250)")
    parser.add_argument("--functions", type=positive, default=25, metavar="N", help="of a peer, at most (25)")
    parser.add_argument("--peer", metavar="RUNTIME", help=f"{', '.join(scenarios.RUNTIMES[1:])}, instead of coir")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help="none, or 'list': those there are")
    args = parser.parse_args(argv)
    known = subjects()
    if args.scenario in ([], ["list"]):
        print("\n".join(known))
        return 0
    for name in args.scenario:
        if name not in known:
            raise Failure(f"there is no scenario '{name}' (./bench explain list)", 2)
    if args.peer and args.peer not in scenarios.RUNTIMES:
        raise Failure(f"there is no peer '{args.peer}' ({', '.join(scenarios.RUNTIMES[1:])})", 2)
    for tool in ("addr2line", "objdump", "nm", "readelf"):
        if not shutil.which(tool):
            fail(f"no {tool} (apt-get install binutils)")
    chosen = [Subject(known[name][0], name, known[name][1], args.peer or "coir") for name in args.scenario]
    for subject in chosen:
        try:
            (explain if subject.run.runtime == "coir" else explain_peer)(subject, args)
        except (runs.RunFailed, runs.CantRun) as what:
            fail(what)
        if subject is not chosen[-1]:
            print("\n")
    return 0
