// SPDX-License-Identifier: MIT

//! What the programs share: peers/shared.rs, and the runtime.

#[path = "../../shared.rs"]
mod shared;

pub use shared::*;

use tokio::runtime::{Builder, Runtime};

const RUNTIME: &str = "tokio";

impl Options {
    /// The current-thread runtime for one thread.
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
}
