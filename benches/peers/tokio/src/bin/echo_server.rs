// SPDX-License-Identifier: MIT

//! Sends back what it gets, one task per connection: benches/echo_server.c with Tokio.
//!
//! With -x 1 a task computes beside them and awaits yield_now() after each portion.

use coir_bench_peers_tokio::{hash, Options, MICROSECOND, PORTION};
use std::fs;
use std::future::{poll_fn, Future};
use std::os::unix::fs::FileTypeExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::oneshot;

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static MESSAGES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static PORTIONS: AtomicU64 = AtomicU64::new(0);

async fn serve(mut stream: TcpStream, size: usize) {
    let mut buf = vec![0; size];
    let (mut messages, mut bytes) = (0, 0);
    while let Ok(n @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..n]).await.is_err() {
            break;
        }
        messages += 1;
        bytes += n as u64;
    }
    MESSAGES.fetch_add(messages, Relaxed);
    BYTES.fetch_add(bytes, Relaxed);
}

async fn accept_all(listener: TcpListener, size: usize) {
    while let Ok((stream, _)) = listener.accept().await {
        ACCEPTED.fetch_add(1, Relaxed);
        tokio::spawn(serve(stream, size));
    }
}

async fn compute() {
    let mut x = 1;
    loop {
        x = hash(x | 1, PORTION * MICROSECOND);
        PORTIONS.fetch_add(1, Relaxed);
        tokio::task::yield_now().await;
    }
}

/// Ready at the end of the standard input, where that is a pipe or a socket; a thread waits for it.
fn end_of_input() -> oneshot::Receiver<()> {
    let (tell, end) = oneshot::channel();
    let input = fs::metadata("/proc/self/fd/0").map(|m| m.file_type());
    std::thread::spawn(move || match input {
        Ok(kind) if kind.is_fifo() || kind.is_socket() => {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = tell.send(());
        }
        _ => std::mem::forget(tell),
    });
    end
}

async fn run(port: u16, size: usize, computes: bool) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut end = end_of_input();
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    tokio::spawn(accept_all(listener, size));
    if computes {
        tokio::spawn(compute());
    }
    poll_fn(|cx| {
        if interrupt.poll_recv(cx).is_ready()
            || terminate.poll_recv(cx).is_ready()
            || Pin::new(&mut end).poll(cx).is_ready()
        {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    Ok(())
}

fn main() -> std::io::Result<()> {
    let o = Options::parse(&[("-b", 1024), ("-l", 0), ("-x", 0)]);
    let (port, size) = (o.get("-l") as u16, o.get("-b") as usize);
    let computes = o.get("-x") > 0;
    let start = Instant::now();
    o.runtime_with_io().block_on(run(port, size, computes))?;
    println!(
        "{} connections, {} messages, {} bytes",
        ACCEPTED.load(Relaxed),
        MESSAGES.load(Relaxed),
        BYTES.load(Relaxed)
    );
    if computes {
        let ms = (PORTIONS.load(Relaxed) * PORTION) as f64 / 1e3 / start.elapsed().as_secs_f64();
        o.print("echo beside computing, work", "ms of work/s", ms, 0);
    }
    Ok(())
}
