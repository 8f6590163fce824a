// SPDX-License-Identifier: MIT

//! What the programs share: peers/shared.rs, and how coroutines are run.

#[path = "../../shared.rs"]
mod shared;

pub use shared::*;

const RUNTIME: &str = "may";

impl Options {
    /// Runs `f` as the first coroutine, on as many workers as were asked for, and returns its value.
    pub fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        may::config().set_workers(self.threads());
        may::go!(f).join().expect("the first coroutine ends well")
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
        std::process::exit(77);
    }
}
