// SPDX-License-Identifier: MIT

//! What the Rust programs share, a module of each crate: the command line, results in the form that
//! ./bench reads (see benches/measure.h), and the work that some of them do.

use std::env;
use std::process::exit;

pub struct Options {
    numbers: Vec<(&'static str, u64)>,
    json: bool,
}

impl Options {
    /// Reads `-w 2 -n 1000 --json`; `defaults` lists the options there are besides -w and --json.
    /// -w 1, the default, is one thread, 0 one per core.
    pub fn parse(defaults: &[(&'static str, u64)]) -> Options {
        let mut o = Options {
            numbers: vec![("-w", 1)],
            json: false,
        };
        o.numbers.extend_from_slice(defaults);
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            if arg == "--json" {
                o.json = true;
                continue;
            }
            let value = args.next().and_then(|v| v.parse().ok());
            match (o.numbers.iter_mut().find(|n| n.0 == arg), value) {
                (Some(number), Some(value)) => number.1 = value,
                _ => {
                    let names: Vec<_> = o.numbers.iter().map(|n| n.0).collect();
                    eprintln!("options: {} NUMBER, --json", names.join(", "));
                    exit(2);
                }
            }
        }
        o
    }

    pub fn get(&self, name: &str) -> u64 {
        self.numbers
            .iter()
            .find(|n| n.0 == name)
            .expect("an option of this program")
            .1
    }

    pub fn threads(&self) -> usize {
        match self.get("-w") {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n as usize,
        }
    }

    pub fn print(&self, scenario: &str, unit: &str, value: f64, checksum: u64) {
        self.print_as(crate::RUNTIME, scenario, unit, value, checksum);
    }

    pub fn print_as(&self, runtime: &str, scenario: &str, unit: &str, value: f64, checksum: u64) {
        if self.json {
            let threads = self.threads();
            print!(
                "{{\"scenario\":\"{scenario}\",\"runtime\":\"{runtime}\",\"threads\":{threads},"
            );
            println!("\"unit\":\"{unit}\",\"value\":{value:.3},\"checksum\":\"{checksum}\"}}");
        }
    }

    /// The median of the samples, for people and as a result.
    pub fn print_median(
        &self,
        runtime: &str,
        scenario: &str,
        unit: &str,
        samples: &mut [f64],
        checksum: u64,
    ) {
        let median = median(samples);
        let (n, least, greatest) = (samples.len(), samples[0], samples[samples.len() - 1]);
        println!(
            "{scenario:<28} {median:.1} {unit} (median of {n}, {least:.1} to {greatest:.1}), \
             {runtime}"
        );
        self.print_as(runtime, scenario, unit, median, checksum);
    }

    /// The rows of `wake_latency`: ns of each message.
    pub fn print_wakes(&self, runtime: &str, samples: &mut [f64]) {
        let count = samples.len() as u64;
        let median = median(samples);
        let p99 = percentile(samples, 99.0);
        let max = samples[samples.len() - 1];
        println!("wake latency: median {median:.0} ns, p99 {p99:.0}, max {max:.0}, {runtime}");
        self.print_as(runtime, "wake latency, median", "ns", median, count);
        self.print_as(runtime, "wake latency, p99", "ns", p99, count);
    }

    /// The rows of `cpu_latency`: ns that each tick was late, ns until all had computed, and what.
    pub fn print_ticks(&self, form: &str, samples: &mut [f64], span: f64, sum: u64) {
        check(u64::from(samples.is_empty()), 0);
        let p50 = median(samples);
        let p99 = percentile(samples, 99.0);
        let (ticks, max) = (samples.len(), samples[samples.len() - 1]);
        let work_ns = span / (self.get("-n") * PORTION) as f64;
        println!(
            "cpu latency, {form}: {ticks} ticks, p50 {p50:.0} ns, p99 {p99:.0}, max {max:.0}; \
             work {work_ns:.0} ns per us"
        );
        for (what, value) in [("p50", p50), ("p99", p99), ("max", max)] {
            self.print(&format!("cpu latency, {form}, {what}"), "ns", value, sum);
        }
        let scenario = format!("cpu latency, {form}, work");
        self.print(&scenario, "ns per us of work", work_ns, sum);
    }

    /// A row of `timeouts`: ns that all receives took, and the sum of their items.
    pub fn print_receives(&self, scenario: &str, elapsed: f64, sum: u64) {
        let items = self.get("-n");
        check(sum, items * (items + 1) / 2);
        let ns = elapsed / items as f64;
        println!("{scenario:<16} {ns:.1} ns per receive");
        self.print(scenario, "ns per receive", ns, sum);
    }

    /// A row of `parked`: of -n tasks.
    pub fn print_parked(&self, what: &str, unit: &str, all: f64) {
        let tasks = self.get("-n");
        let (scenario, value) = (format!("{what}, {tasks} tasks"), all / tasks as f64);
        println!("{scenario}: {value:.0} {unit}");
        self.print(&scenario, unit, value, tasks);
    }
}

/// Sorts the samples.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    let n = samples.len();
    (samples[(n - 1) / 2] + samples[n / 2]) / 2.0
}

/// Ends the program if the work done is not the work wanted.
pub fn check(got: u64, wanted: u64) {
    if got != wanted {
        eprintln!("the checksum is {got}, not {wanted}");
        exit(1);
    }
}

/// The value that `percent` of the sorted samples are not above.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted[rank.max(1) - 1]
}

/// benches/work.h: about as many steps of `hash` as take a microsecond.
pub const MICROSECOND: u64 = 400;

/// us that are computed between two looks at whether somebody else has to run.
pub const PORTION: u64 = 20;

/// Steps each of which needs the result of the one before.
pub fn hash(mut x: u64, steps: u64) -> u64 {
    for _ in 0..steps {
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    x
}

/// The name of a row, and the sum of the items, of `fanin` and `fanout`.
pub fn items_row(name: &str, items: u64, capacity: u64, steps: u64) -> (String, u64) {
    let mut scenario = match capacity {
        0 => String::from(name),
        n => format!("{name}, capacity {n}"),
    };
    if steps > 0 {
        scenario += ", work";
    }
    let sum = (1..=items).fold(0u64, |sum, i| sum.wrapping_add(hash(i, steps)));
    (scenario, sum)
}

/// The name of a row that tells how many tasks there were, unless they were the usual 10,000.
pub fn tasks_row(name: &str, tasks: u64) -> String {
    match tasks {
        10_000 => String::from(name),
        n => format!("{name}, {n} tasks"),
    }
}

/// What this process occupies: resident pages and page tables, in bytes.
pub fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let wanted = |l: &&str| l.starts_with("VmRSS:") || l.starts_with("VmPTE:");
    let kib = |l: &str| {
        l.split_whitespace()
            .nth(1)
            .and_then(|n| n.parse::<f64>().ok())
    };
    status.lines().filter(wanted).filter_map(kib).sum::<f64>() * 1024.0
}

/// The work of `parallel_sum`, as in benches/chunks.h.
pub fn sum_of(elements: &[u32]) -> u64 {
    elements.iter().fold(0, |sum, &e| {
        (sum ^ u64::from(e)).wrapping_mul(0xd6e8_feb8_6659_fd93)
    })
}

fn weight(i: u64) -> u64 {
    let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1 << (x >> 40 | 64).trailing_zeros()
}

/// `count` chunks of an array of so many elements.
pub fn divide(elements: u64, count: u64) -> Vec<std::ops::Range<usize>> {
    let total: u64 = (0..count).map(weight).sum();
    let mut before = 0;
    (0..count)
        .map(|i| {
            let begin = elements * before / total;
            before += weight(i);
            begin as usize..(elements * before / total) as usize
        })
        .collect()
}
