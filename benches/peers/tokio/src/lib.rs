// SPDX-License-Identifier: MIT

//! What the programs share: the command line, the runtime, and results in the form that ./bench
//! reads (see benches/measure.h).

use std::env;
use std::process::exit;
use tokio::runtime::{Builder, Runtime};

pub struct Options {
    numbers: Vec<(&'static str, u64)>,
    json: bool,
}

impl Options {
    /// Reads `-w 2 -n 1000 --json`; `defaults` lists the options there are besides -w and --json.
    /// -w 1, the default, is the current-thread runtime, 0 one worker per core.
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

    pub fn runtime(&self) -> Runtime {
        match self.threads() {
            1 => Builder::new_current_thread().build(),
            n => Builder::new_multi_thread().worker_threads(n).build(),
        }
        .expect("a Tokio runtime")
    }

    /// The same, for programs that use sockets and signals.
    pub fn runtime_with_io(&self) -> Runtime {
        match self.threads() {
            1 => Builder::new_current_thread().enable_all().build(),
            n => Builder::new_multi_thread()
                .worker_threads(n)
                .enable_all()
                .build(),
        }
        .expect("a Tokio runtime")
    }

    pub fn print(&self, scenario: &str, unit: &str, value: f64, checksum: u64) {
        self.print_as("tokio", scenario, unit, value, checksum);
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

/// The value that `percent` of the sorted samples are not above.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted[rank.max(1) - 1]
}

/// Ends the program if the work done is not the work wanted.
pub fn check(got: u64, wanted: u64) {
    if got != wanted {
        eprintln!("the checksum is {got}, not {wanted}");
        exit(1);
    }
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
