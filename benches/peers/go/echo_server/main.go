// SPDX-License-Identifier: MIT

// Sends back what it gets, one goroutine per connection: benches/echo_server.c in Go.
//
// With -x a goroutine computes beside them and calls nothing: Go interrupts it.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"coir/bench/peers/result"
	"coir/bench/peers/work"
)

var (
	address = flag.String("l", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	size    = flag.Int("b", 1024, "bytes of a connection's buffer")

	computes = flag.Bool("x", false, "compute beside that")

	accepted, messages, bytes, portions atomic.Uint64
)

func serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, *size)
	var reads, sum uint64
	for {
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		if _, err = c.Write(buf[:n]); err != nil {
			break
		}
		reads++
		sum += uint64(n)
	}
	messages.Add(reads)
	bytes.Add(sum)
}

func acceptAll(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		accepted.Add(1)
		go serve(c)
	}
}

const portion = 20 // us

func compute() {
	for x := uint64(1); ; portions.Add(1) {
		x = work.Hash(x|1, portion*work.Microsecond)
	}
}

// The end of the standard input means the end, too, where that is a pipe or a socket.
func watchInput(stop chan os.Signal) {
	in, err := os.Stdin.Stat()
	if err != nil || in.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop <- syscall.SIGTERM
	}()
}

func main() {
	result.Parse()
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening on", listener.Addr())
	watchInput(stop)
	go acceptAll(listener)
	start := time.Now()
	if *computes {
		go compute()
	}
	<-stop
	fmt.Printf("%d connections, %d messages, %d bytes\n", accepted.Load(), messages.Load(), bytes.Load())
	if *computes {
		ms := float64(portions.Load()*portion) / 1e3 / time.Since(start).Seconds()
		result.Print("echo beside computing, work", "ms of work/s", ms, 0)
	}
}
