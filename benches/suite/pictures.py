# SPDX-License-Identifier: MIT
"""Charts of the results, by gnuplot, as SVG.

For each group of scenarios, number of threads and kind of unit one of bars, runtimes side by side, the best row of each;
and for `tasks-memory` lines over the number of tasks.
"""
import os
import re
import shutil
import subprocess
import tempfile

from .results import KINS, is_rate, number

COLOURS = {"coir": "#1b4f8f", "go": "#37a2b8", "tokio": "#d07c2c", "may": "#8d6b94", "libuv": "#6b9a3e",
           "threads": "#a33b3b", "epoll": "#b8a12f", "uring": "#4d7c6f", "floor": "#9a9a9a"}
TITLES = {"go": "Go", "tokio": "Tokio", "uring": "io_uring"}
TASKS = re.compile(r"^parked (.+), (\d+) tasks$")


def kind(unit):
    """What can stand on one axis."""
    return unit if is_rate(unit) else re.sub(r"( per | p\d| max$).*", "", unit)


def short(x):
    """A number that fits over a bar."""
    for limit, sign in ((1e6, "M"), (1e4, "k")):
        if x >= limit:
            return f"{x / limit * (10 if sign == 'k' else 1):.3g}{sign}"
    return number(x)


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', "'") + '"'


def gnuplot(path, script, wide, high):
    # SVG of fixed size, on white: it is seen on dark pages, too.
    head = (f"set terminal svg size {wide},{high} font 'sans-serif,13' background '#ffffff' noenhanced\n"
            f"set output {quote(path)}\n"
            "set border 3 lc '#444444'\nset tics nomirror out\nset grid ytics lc '#dddddd' lw 0.6\n")
    done = subprocess.run(["gnuplot"], input=head + script, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


# -- bars -----------------------------------------------------------------------------------------

def label(place):
    """The scenario, and of a unit what tells it from another of its kind."""
    part = re.search(r"(p[0-9.]+|max)$", place[2])
    return f"{place[0]}, {part.group(1)}" if part else place[0]


def broken(text, wide=18):
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= wide:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\\n".join(lines)


def bars(results, places, title, path):
    names = [k for k in KINS if any(results.best(p, k) for p in places)]
    values = {(p, k): row.median for p in places for k in names if (row := results.best(p, k))}
    least, most = min(values.values()), max(values.values())
    logarithmic = least > 0 and most / least > 20
    bottom = 10 ** (len(str(int(least))) - 1) if least >= 1 else 0.1 if least >= 0.1 else 0.01
    width, slots = 1.0, len(names) + 1.2
    script = [f"set title {quote(title)}", f"set ylabel {quote(kind(places[0][2]))}", "set style fill solid 0.95",
              "set key outside top center horizontal", "set xtics scale 0", "set bmargin 4"]
    if logarithmic:
        script += ["set logscale y", f"set yrange [{bottom / 2}:{most * 3}]", "set format y '%g'"]
    else:
        script.append(f"set yrange [0:{most * 1.15 or 1}]")
    ticks = []
    for i, place in enumerate(places):
        ticks.append(f'"{broken(label(place))}" {i * slots + (len(names) - 1) / 2}')
    script.append(f"set xtics ({', '.join(ticks)})")
    script.append(f"set xrange [{-width}:{len(places) * slots - 0.4}]")
    plots = []
    for j, name in enumerate(names):
        script.append(f"$bars{j} << END")
        for i, place in enumerate(places):
            value = values.get((place, name))
            if value is not None:
                script.append(f"{i * slots + j} {value} {short(value)}")
        script.append("END")
        colour = COLOURS.get(name, "#555555")
        plots.append(f"$bars{j} using 1:2:(0.92) with boxes lc rgb '{colour}' title {quote(TITLES.get(name, name))}")
        plots.append(f"$bars{j} using 1:2:3 with labels offset 0,0.5 font ',9' notitle")
    script.append("plot " + ", ".join(plots))
    return gnuplot(path, "\n".join(script) + "\n", max(640, int(90 + 30 * slots * len(places))), 460)


def bar_charts(results, folder):
    charts = {}
    for place in results.places():
        if not TASKS.match(place[0]) and len(results.at(place)) > 0:
            which = "one thread" if place[1] == 1 else "all threads"
            charts.setdefault((results.groups[place], which, kind(place[2])), []).append(place)
    for (group, which, unit), places in charts.items():
        words = re.sub(r"[^a-z0-9]+", "-", f"{group} {which.split()[0]} {unit}".lower()).strip("-")
        better = "more is better" if is_rate(unit) else "less is better"
        yield f"{words}.svg", bars(results, places, f"{group}, {which} ({better}; the best row of each)",
                                   os.path.join(folder, f"{words}.svg"))


# -- tasks ----------------------------------------------------------------------------------------

def task_lines(results):
    """what ("memory", "cold") -> kin -> [(tasks, value)]"""
    found = {}
    for place in results.places():
        match = TASKS.match(place[0])
        if match and place[1] == 1:
            for name in KINS:
                row = results.best(place, name)
                if row:
                    found.setdefault(match.group(1), {}).setdefault(name, []).append((int(match.group(2)), row.median))
    return {what: {name: sorted(points) for name, points in by_name.items()} for what, by_name in found.items()}


def task_chart(lines, path):
    panels = [("memory", "bytes a task, resident and page tables"), ("cold", "ns a task: spawn, run until it waits, cold"),
              ("warm", "ns a task: the same, warm")]
    panels = [p for p in panels if p[0] in lines]
    script = ["set logscale xy", "set xlabel 'tasks'", "set format x '%.0s%c'", "set format y '%g'",
              "set key outside bottom center horizontal samplen 2", f"set multiplot layout 1,{len(panels)} title 'waiting tasks'"]
    for what, title in panels:
        plots = []
        for name, points in lines[what].items():
            block = f"${what}_{name}"
            script += [f"{block} << END", *(f"{n} {value}" for n, value in points), "END"]
            plots.append(f"{block} using 1:2 with linespoints lw 2 pt 7 ps 0.6 lc rgb '{COLOURS.get(name, '#555555')}' "
                         f"title {quote(TITLES.get(name, name))}")
        script += [f"set title {quote(title)}", "plot " + ", ".join(plots)]
    script.append("unset multiplot")
    return gnuplot(path, "\n".join(script) + "\n", 430 * len(panels), 430)


# -- all ------------------------------------------------------------------------------------------

def prepare(folder):
    """Makes the folder, where there will be pictures. Raises OSError where none could be written."""
    if shutil.which("gnuplot"):
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def draw(results, folder):
    """Draws everything; a line that says what came of it."""
    if not shutil.which("gnuplot"):
        return "no pictures: no gnuplot (apt-get install gnuplot-nox)"
    os.makedirs(folder, exist_ok=True)
    drawn = list(bar_charts(results, folder))
    lines = task_lines(results)
    if any(len(points) > 1 for by_name in lines.values() for points in by_name.values()):
        drawn.append(("tasks-memory.svg", task_chart(lines, os.path.join(folder, "tasks-memory.svg"))))
    wrong = [f"{name}: {what}" for name, what in drawn if what]
    if wrong:
        return "pictures failed: " + "; ".join(wrong)
    return f"pictures in {os.path.relpath(folder)}: {' '.join(name for name, _ in drawn)}"
