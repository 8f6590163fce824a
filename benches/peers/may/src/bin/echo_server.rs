// SPDX-License-Identifier: MIT

//! The echo server with may: a coroutine for each connection. Output, stopping and the figure are
//! those of benches/echo_server.c; it stops at the end of its standard input.

use coir_bench_peers_may::Options;
use may::net::{TcpListener, TcpStream};
use std::fs;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static MESSAGES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// User and system time of this process so far, ns, with the 10 ms of /proc.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    let after_name = stat.rsplit(") ").next().unwrap_or("");
    let times = after_name.split(' ').skip(11).take(2);
    times.map(|t| t.parse().unwrap_or(0)).sum::<u64>() * 10_000_000
}

fn serve(mut connection: TcpStream) {
    let mut buf = [0; 1024];
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
    let o = Options::parse(&[]);
    may::config().set_workers(o.threads());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("listening on {}", listener.local_addr().expect("it has one"));
    let before = cpu();
    may::go!(move || {
        while let Ok((connection, _)) = listener.accept() {
            ACCEPTED.fetch_add(1, Relaxed);
            may::go!(move || serve(connection));
        }
    });
    let _ = io::stdin().read_to_end(&mut Vec::new());
    // The load has gone; its connections are noticed within moments.
    let mut seen = u64::MAX;
    while seen != MESSAGES.load(Relaxed) {
        seen = MESSAGES.load(Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let (cpu, messages) = (cpu() - before, MESSAGES.load(Relaxed));
    let ns = cpu as f64 / messages.max(1) as f64;
    println!(
        "{} connections, {messages} messages, {} bytes, CPU {:.3} s: {ns:.0} ns per message",
        ACCEPTED.load(Relaxed),
        BYTES.load(Relaxed),
        cpu as f64 / 1e9
    );
    o.print("echo", "server CPU ns per message", ns, messages);
}
