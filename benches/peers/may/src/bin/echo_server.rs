// SPDX-License-Identifier: MIT

//! The echo server with may: a coroutine for each connection. It says what it did, and stops
//! at the end of its standard input.

use coir_bench_peers_may::Options;
use may::net::{TcpListener, TcpStream};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static MESSAGES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn serve(mut connection: TcpStream, buffer_size: usize) {
    let mut buf = vec![0; buffer_size];
    let (mut messages, mut bytes) = (0, 0);
    while let Ok(n) = connection.read(&mut buf) {
        if n == 0 || connection.write_all(&buf[..n]).is_err() {
            break;
        }
        messages += 1;
        bytes += n as u64;
    }
    MESSAGES.fetch_add(messages, Relaxed);
    BYTES.fetch_add(bytes, Relaxed);
}

fn main() {
    let o = Options::parse(&[("-b", 1024)]);
    may::config().set_workers(o.threads());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("listening on {}", listener.local_addr().expect("it has one"));
    let buffer_size = o.get("-b") as usize;
    may::go!(move || {
        while let Ok((connection, _)) = listener.accept() {
            ACCEPTED.fetch_add(1, Relaxed);
            may::go!(move || serve(connection, buffer_size));
        }
    });
    let _ = io::stdin().read_to_end(&mut Vec::new());
    // The load has gone; its connections are noticed within moments.
    let mut seen = u64::MAX;
    while seen != MESSAGES.load(Relaxed) {
        seen = MESSAGES.load(Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    println!(
        "{} connections, {} messages, {} bytes",
        ACCEPTED.load(Relaxed),
        MESSAGES.load(Relaxed),
        BYTES.load(Relaxed)
    );
}
