// SPDX-License-Identifier: MIT

//! What the programs share: the command line, the workers, and results in the form that
//! ./bench reads (see benches/measure.h).

use std::env;
use std::process::exit;

pub struct Options {
    numbers: Vec<(&'static str, u64)>,
    json: bool,
}

impl Options {
    /// Reads `-w 2 -n 1000 --json`; `defaults` lists the options there are besides -w and --json.
    /// -w 1, the default, is one worker, 0 one per core.
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

    /// Runs `f` as the first coroutine, on as many workers as were asked for, and returns its value.
    pub fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        may::config().set_workers(self.threads());
        may::go!(f).join().expect("the first coroutine ends well")
    }

    pub fn print(&self, scenario: &str, unit: &str, value: f64, checksum: u64) {
        self.print_as("may", scenario, unit, value, checksum);
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

/// Ends the program where the system does not allow stacks for so many coroutines: each takes two
/// mappings, the stack and its guard.
pub fn want_stacks(n: u64) {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530u64);
    if 2 * n + 1000 > limit {
        eprintln!("{n} stacks of two mappings: the system allows {limit} (vm.max_map_count)");
        exit(77);
    }
}

/// What this process occupies: resident pages and page tables, in bytes.
pub fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let wanted = |l: &&str| l.starts_with("VmRSS:") || l.starts_with("VmPTE:");
    let kib = |l: &str| l.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    status.lines().filter(wanted).filter_map(kib).sum::<f64>() * 1024.0
}
