// SPDX-License-Identifier: MIT
//
// bench/http/go/main.go - docs/examples/httpd with Go's net/http: the same endpoints, timeouts and limits.
//
// usage: httpd-go FOLDER. Prints the port, on the loopback interface, as httpd does, and ends at SIGTERM.
//
// Threads: a goroutine per connection; GOMAXPROCS is what Go chooses.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	usMax   = 1000000
	ioUsMax = 60000000
)

var worked = []byte("worked\n")

// The number of a name in the query; 0 if it is not there.
func number(query url.Values, name string, most uint64) (uint64, bool) {
	text := query.Get(name)
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && n <= most
}

func compute(us uint64) {
	end := time.Now().Add(time.Duration(us) * time.Microsecond)
	x := uint64(1)
	for time.Now().Before(end) {
		for i := 0; i < 64; i++ {
			x = x*6364136223846793005 + 1
		}
	}
	if x == 0 {
		fmt.Fprintln(os.Stderr, x)
	}
}

func work(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	us, ok1 := number(query, "us", usMax)
	ioUs, ok2 := number(query, "io_us", ioUsMax)
	if !ok1 || !ok2 {
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return
	}
	if us > 0 {
		compute(us)
	}
	if ioUs > 0 {
		time.Sleep(time.Duration(ioUs) * time.Microsecond)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(worked)))
	w.Write(worked)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: httpd-go FOLDER")
		os.Exit(2)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/work", work)
	mux.Handle("/", http.FileServer(http.Dir(os.Args[1])))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    8192,
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	go func() {
		<-ends
		deadline, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(deadline) != nil {
			server.Close()
		}
		os.Exit(0)
	}()
	server.Serve(listener)
	select {}
}
