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
