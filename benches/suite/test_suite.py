# SPDX-License-Identifier: MIT
"""What of ./bench can be told without measuring: python3 -m unittest suite.test_suite, in benches/."""
import collections
import json
import os
import tempfile
import unittest
import unittest.mock

from . import Failure, build, cli, compare, explain, results, runs, scenarios


def row(runtime, value, checksum="1", scenario="s", threads=1, unit="ns"):
    return {"scenario": scenario, "runtime": runtime, "threads": threads, "unit": unit, "value": value, "checksum": checksum}


class Rows(unittest.TestCase):
    def setUp(self):
        self.results = results.Results()

    def test_a_row_has_what_was_promised(self):
        self.results.add([row("coir", v) for v in (3, 1, 2)], "tasks")
        self.assertEqual(json.loads(self.results.json()),
                         [{"scenario": "s", "runtime": "coir", "threads": 1, "unit": "ns", "median": 2, "min": 1, "max": 3,
                           "rounds": 3, "checksum": "1"}])

    def test_different_work_is_told_with_who_did_it(self):
        self.results.add([row("coir", 1), row("go", 1), row("tokio", 1, "2")], "tasks")
        self.results.add([row("coir", 1, "9", threads=2)], "tasks")  # other threads, other work
        (line,) = self.results.disagreements()
        for word in ("s, 1 thread", "1: coir, go", "2: tokio"):
            self.assertIn(word, line)

    def test_rows_that_do_less_are_not_compared(self):
        self.results.add([row("coir", 1)], "tasks")
        self.results.add([row("threads", 1, "2")], "tasks", compares=False)
        self.assertEqual(self.results.disagreements(), [])

    def test_ahead_is_above_one_for_times_and_for_rates(self):
        for unit, other in (("ns", 20), ("messages/s", 5)):
            self.results.add([row("coir", 10, unit=unit), row("go", other, unit=unit)], "net")
            place = ("s", 1, unit)
            self.assertEqual(self.results.ratio(place, self.results.best(place, "go"), self.results.best(place, "coir")), 2)

    def test_the_best_way_of_a_peer_counts(self):
        self.results.add([row("tokio", 9), row("tokio std", 4), row("coir", 3)], "locks")
        self.assertEqual(self.results.best(("s", 1, "ns"), "tokio").runtime, "tokio std")

    def test_a_file_is_left_alone_until_there_is_something_to_write(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")
            with open(path, "w", encoding="utf-8") as f:
                f.write("old")
            results.check_writable(path)
            with open(path, encoding="utf-8") as f:
                self.assertEqual(f.read(), "old")
            self.results.write_json(path)
            self.assertEqual(os.listdir(folder), ["rows.json"])
            for wrong in ("", folder, os.path.join(folder, "no", "rows.json")):
                with self.assertRaises(OSError):
                    results.check_writable(wrong)


class Scenarios(unittest.TestCase):
    def setUp(self):
        self.all = scenarios.load_all(cli.ROOT)

    def parse(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as f:
            f.write(text)
            f.flush()
            return scenarios.parse(f.name)

    def test_each_has_its_programs_and_coir(self):
        build.Builds(cli.ROOT).check_sources(self.all)
        for s in self.all:
            self.assertIn("coir", [r.runtime for r in s.runs], s.name)

    def test_a_group_stands_for_all_of_it_and_nothing_is_chosen_twice(self):
        chosen = [s.name for s in scenarios.choose(self.all, ["mutex", "locks"])]
        self.assertEqual(chosen, ["mutex", "cond", "rwlock"])

    def test_what_is_not_there_is_named(self):
        for call in (lambda: scenarios.choose(self.all, ["yield", "yeild"]), lambda: cli.wanted_peers("go,yeild"),
                     lambda: self.parse("yeild = 1")):
            with self.assertRaisesRegex(Failure, "yeild") as caught:
                call()
            self.assertEqual(caught.exception.status, 2)

    def test_a_server_runs_on_one_thread_and_on_all(self):
        for s in self.all:
            if s.group == "net":
                self.assertTrue(all(r.counts([1, 2]) == [1, 2] for r in s.runs), s.name)


class Programs(unittest.TestCase):
    def test_only_lines_of_json_are_results(self):
        (found,) = runs.rows_of('said\n{"scenario":"s","runtime":"coir","threads":1,"unit":"ns","value":2}\n', ["x"])
        self.assertEqual((found["value"], found["checksum"]), (2, ""))
        for text in ("said\n", '{"scenario":"s"}\n', "{\n"):
            with self.assertRaises(runs.RunFailed):
                runs.rows_of(text, ["x"])


class Compare(unittest.TestCase):
    def verdict(self, old, new, unit="ns"):
        sides = []
        for values in (old, new):
            side = results.Row("s", "coir", 1, unit)
            side.values = values
            sides.append(side)
        return compare.verdict(*sides, results.is_rate(unit))

    def test_a_difference_beyond_noise_is_marked(self):
        low, high = [10, 10.1, 10.2, 10.3, 10.4], [12, 12.1, 12.2, 12.3, 12.4]
        self.assertEqual(self.verdict(low, high), "slower")
        self.assertEqual(self.verdict(high, low), "faster")
        self.assertEqual(self.verdict(low, high, "MB/s"), "faster")

    def test_noise_and_few_samples_are_not(self):
        self.assertEqual(self.verdict([10, 11, 12, 13, 14], [10, 12, 13, 14, 15]), "")
        self.assertEqual(self.verdict([10, 10, 10, 10, 10], [10.4] * 5), "")
        self.assertEqual(self.verdict([10], [20]), "")


class Explain(unittest.TestCase):
    def subject(self, name):
        scenario, table = explain.subjects()[name]
        return explain.Subject(scenario, name, table, "coir")

    def test_all_that_is_listed_has_a_program(self):
        for name in explain.subjects():
            self.assertTrue(self.subject(name).program, name)

    def test_the_engine_of_a_server_can_be_chosen(self):
        self.assertIn("uring", self.subject("echo").run.server)
        self.assertIn("epoll", self.subject("echo-epoll").run.server)

    def test_a_server_s_time_is_its_processor_time(self):
        rows = [row("coir uring", 300, unit="server CPU us per MB"), row("coir uring", 9, unit="ns")]
        self.assertEqual(explain.figure_of(self.subject("echo-bulk"), rows), 300000)

    def test_memory_is_no_time(self):
        rows = [row("coir", 7, unit="ns per task"), row("coir", 4803, unit="bytes per task")]
        self.assertEqual(explain.figure_of(self.subject("parked"), rows), 7)

    def test_inlined_code_belongs_to_the_innermost_step(self):
        self.assertEqual(explain.step_of(["coir__claim_single.isra.0", "coir_chan_send"]), "claim the waiter")
        self.assertEqual(explain.step_of(["player"]), explain.REST)

    def test_a_budget_adds_up_to_the_time(self):
        samples = explain.Samples(os.devnull)
        samples.stand_in("/nowhere", {16: 3.0, 32: 1.0})
        with unittest.mock.patch.object(explain, "chains", lambda *_: {16: ["coir__switch"], 32: ["main"]}):
            times, numbers = explain.budget("/nowhere", samples, {16: 3.0, 32: 1.0}, 20)
        self.assertEqual(times, {"switch": 15, explain.REST: 5})
        self.assertEqual(numbers, collections.Counter({"switch": 3, explain.REST: 1}))


if __name__ == "__main__":
    unittest.main()
