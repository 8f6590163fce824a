# SPDX-License-Identifier: MIT
"""What was measured: samples by row, medians, checksums that agree, tables for people."""
import errno
import json
import os
import statistics

# The order of columns and rows. Floors are what the others are held against, not peers.
KINS = ["coir", "go", "tokio", "may", "libuv", "threads", "epoll", "uring", "floor"]


def kin(runtime):
    """The runtime that a row's name begins with: "tokio std" is of "tokio"."""
    return runtime.split()[0]


def is_rate(unit):
    """More is better."""
    return unit.endswith("/s")


def number(x):
    for limit, digits in ((100, 0), (10, 1)):
        if abs(x) >= limit:
            return f"{x:.{digits}f}"
    return f"{x:.2f}"


def times(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


class Row:
    def __init__(self, scenario, runtime, threads, unit):
        self.scenario, self.runtime, self.threads, self.unit = scenario, runtime, threads, unit
        self.values, self.checksums = [], set()

    @property
    def median(self):
        return statistics.median(self.values)

    def as_dict(self):
        return {"scenario": self.scenario, "runtime": self.runtime, "threads": self.threads, "unit": self.unit,
                "median": round(self.median, 3), "min": min(self.values), "max": max(self.values),
                "rounds": len(self.values), "checksum": " ".join(sorted(self.checksums))}


class Results:
    def __init__(self):
        self.rows = {}  # (scenario, threads, unit, runtime) -> Row, in the order they came
        self.groups = {}  # (scenario, threads, unit) -> group of its scenario file

    def add(self, rows, group, compares=True):
        for r in rows:
            place = (r["scenario"], r["threads"], r["unit"])
            self.groups.setdefault(place, group)
            row = self.rows.setdefault((*place, r["runtime"]),
                                       Row(r["scenario"], r["runtime"], r["threads"], r["unit"]))
            row.values.append(r["value"])
            if compares and r["checksum"]:
                row.checksums.add(r["checksum"])

    def places(self):
        """(scenario, threads, unit), those of one scenario together."""
        names = list(dict.fromkeys(p[0] for p in self.groups))
        return sorted(self.groups, key=lambda p: names.index(p[0]))

    def at(self, place):
        """The rows of a place, by kin and then as they came."""
        found = [row for key, row in self.rows.items() if key[:3] == place]
        return sorted(found, key=lambda row: KINS.index(kin(row.runtime)) if kin(row.runtime) in KINS else len(KINS))

    def best(self, place, name):
        """The best row of a kin, or None."""
        rows = [row for row in self.at(place) if kin(row.runtime) == name]
        if not rows:
            return None
        return (max if is_rate(place[2]) else min)(rows, key=lambda row: row.median)

    def disagreements(self):
        """A line for each scenario in which not everybody did the same work."""
        sums = {}
        for row in self.rows.values():
            for checksum in row.checksums:
                sums.setdefault((row.scenario, row.threads), {}).setdefault(checksum, []).append(row.runtime)
        lines = []
        for (scenario, threads), by_sum in sums.items():
            if len(by_sum) > 1:
                parts = "; ".join(f"{checksum}: {', '.join(dict.fromkeys(who))}" for checksum, who in by_sum.items())
                lines.append(f"the work differs in {scenario}, {threads} thread(s): {parts}")
        return lines

    def ratio(self, place, row, base):
        """How many times better `base` is than `row`."""
        a, b = (base, row) if is_rate(place[2]) else (row, base)
        return a.median / b.median if b.median else float("nan")

    # -- for people ---------------------------------------------------------------------------------

    def table(self, places):
        lines = []
        for place in places:
            scenario, threads, unit = place
            base = self.best(place, "coir")
            lines.append(f"{scenario}; {threads} thread{'s' if threads > 1 else ''}; {unit}")
            for row in self.at(place):
                spread = f"{number(min(row.values))} to {number(max(row.values))}"
                beside = ""
                if base and row is not base:
                    beside = f"{times(self.ratio(place, row, base)):>8} x coir"
                lines.append(f"    {row.runtime:<22}{number(row.median):>11}   {spread:<26}{beside}")
        return "\n".join(lines)

    def summary(self):
        """One line for each place that coir is in: its figure, and how many times better than the best of each peer."""
        places = [p for p in self.places() if self.best(p, "coir")]
        if not places:
            return ""
        names = [k for k in KINS[1:] if any(self.best(p, k) for p in places)]
        wide = max(len("summary"), *(len(p[0]) for p in places))
        unit_wide = max(len(p[2]) for p in places)
        peers = [k for k in names if k != "floor"]
        head = f"{'summary':<{wide}}  thr  {'unit':<{unit_wide}}  {'coir':>8}"
        head += "".join(f"{k + '/coir':>13}" for k in peers)
        head += f"{'coir/floor':>12}" if "floor" in names else ""
        lines = [head]
        for place in places:
            base = self.best(place, "coir")
            line = f"{place[0]:<{wide}}  {place[1]:>3}  {place[2]:<{unit_wide}}  {number(base.median):>8}"
            for name in peers:
                row = self.best(place, name)
                line += f"{times(self.ratio(place, row, base)) if row else '-':>13}"
            if "floor" in names:
                row = self.best(place, "floor")
                line += f"{times(1 / self.ratio(place, row, base)) if row and row.median else '-':>12}"
            lines.append(line)
        return "\n".join(lines)

    # -- for programs -------------------------------------------------------------------------------

    def write_json(self, path, end=True):
        """What there is so far; what is no file (a pipe, /dev/stdout) gets it once, at the `end`."""
        if is_stream(path):
            if end and path == "/dev/stdout":  # where it is a file, it has a place of its own in it
                print(self.json(), end="", flush=True)
            elif end:
                with open(path, "a", encoding="utf-8") as f:
                    f.write(self.json())
            return
        path = os.path.realpath(path)  # a link stays one
        partial = f"{path}.part"
        with open(partial, "w", encoding="utf-8") as f:
            f.write(self.json())
        os.replace(partial, path)

    def json(self):
        text = ",\n".join(json.dumps(row.as_dict()) for place in self.places() for row in self.at(place))
        return f"[{text}]\n"


def is_stream(path):
    """Something that can't be replaced by a new file."""
    return path.startswith("/dev/") or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))


def check_writable(path):
    """Raises OSError where write_json() could not write. What is there is left alone."""
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if os.path.isdir(path):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not is_stream(path):
        partial = f"{os.path.realpath(path)}.part"
        with open(partial, "w", encoding="utf-8"):
            pass
        os.remove(partial)
