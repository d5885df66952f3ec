// SPDX-License-Identifier: MIT
//
// bench/peers/go/main.go - part of the suite in Go: a goroutine per task, a WaitGroup per join. A program of its own,
// which peers/child.c talks to: a line "BENCH N" in, a line "ANSWER SECONDS BYTES" out.
//
// Threads: GOMAXPROCS is the number of workers, given on the command line.
package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	var left int
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		left = fib(n - 1)
		wg.Done()
	}()
	right := fib(n - 2)
	wg.Wait()
	return left + right
}

const queensMax = 16

type board [queensMax]int8

func peaceful(b *board, rows int) bool {
	for upper := 0; upper < rows; upper++ {
		for lower := upper + 1; lower < rows; lower++ {
			aside := int(b[lower]) - int(b[upper])
			if aside == 0 || aside == lower-upper || aside == upper-lower {
				return false
			}
		}
	}
	return true
}

func below(b *board, n, row int) int {
	if row == n {
		return 1
	}
	var next [queensMax]board
	var found [queensMax]int
	var wg sync.WaitGroup
	branches := 0
	for c := 0; c < n; c++ {
		next[branches] = *b
		next[branches][row] = int8(c)
		if !peaceful(&next[branches], row+1) {
			continue
		}
		wg.Add(1)
		go func(i int) {
			found[i] = below(&next[i], n, row+1)
			wg.Done()
		}(branches)
		branches++
	}
	wg.Wait()
	sum := 0
	for i := 0; i < branches; i++ {
		sum += found[i]
	}
	return sum
}

const (
	t1Seed       = 19
	t1Depth      = 10
	t1Branching  = 4.0
	t1Max        = 100
	t3Seed       = 42
	t3Root       = 2000
	t3Children   = 8
	t3Likelihood = 0.124875
)

type node struct {
	state [sha1.Size]byte
	depth int
}

func root(tree int) node {
	var message [20]byte
	seed := uint32(t1Seed)
	if tree != 0 {
		seed = t3Seed
	}
	binary.BigEndian.PutUint32(message[16:], seed)
	return node{sha1.Sum(message[:]), 0}
}

func children(tree int, n *node) int {
	u := float64(binary.BigEndian.Uint32(n.state[16:])&0x7fffffff) / 2147483648.0
	if tree != 0 {
		if n.depth == 0 {
			return t3Root
		}
		if u < t3Likelihood {
			return t3Children
		}
		return 0
	}
	if n.depth >= t1Depth {
		return 0
	}
	k := int(math.Floor(math.Log(1-u) / math.Log(1-1/(1+t1Branching))))
	if k > t1Max {
		return t1Max
	}
	return k
}

func visit(tree int, n *node) int {
	k := children(tree, n)
	if k == 0 {
		return 1
	}
	found := make([]int, k)
	var wg sync.WaitGroup
	wg.Add(k)
	for i := 0; i < k; i++ {
		var message [24]byte
		copy(message[:], n.state[:])
		binary.BigEndian.PutUint32(message[20:], uint32(i))
		child := node{sha1.Sum(message[:]), n.depth + 1}
		go func(i int) {
			found[i] = visit(tree, &child)
			wg.Done()
		}(i)
	}
	wg.Wait()
	sum := 1
	for _, f := range found {
		sum += f
	}
	return sum
}

type part struct{ x1, y1, x2, y2, area float64 }

func f(x float64) float64 { return (x*x + 1) * x }

func integrate(p part) float64 {
	width := (p.x2 - p.x1) / 2
	x := p.x1 + width
	y := f(x)
	left := part{p.x1, p.y1, x, y, (p.y1 + y) / 2 * width}
	right := part{x, y, p.x2, p.y2, (y + p.y2) / 2 * width}
	if math.Abs(left.area+right.area-p.area) < 1e-9 {
		return left.area + right.area
	}
	var sum float64
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		sum = integrate(left)
		wg.Done()
	}()
	other := integrate(right)
	wg.Wait()
	return sum + other
}

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	const width = 10
	var found [width]int
	var wg sync.WaitGroup
	wg.Add(width)
	each := leaves / width
	for i := 0; i < width; i++ {
		go func(i int) {
			found[i] = skynet(first+i*each, each)
			wg.Done()
		}(i)
	}
	wg.Wait()
	sum := 0
	for _, v := range found {
		sum += v
	}
	return sum
}

func flat(n int) float64 {
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go wg.Done()
	}
	wg.Wait()
	return 1
}

func run(bench string, n int) float64 {
	switch bench {
	case "fib":
		return float64(fib(n))
	case "nqueens":
		return float64(below(&board{}, n, 0))
	case "uts_t1", "uts_t3":
		r := root(n)
		return float64(visit(n, &r))
	case "integrate":
		to := float64(n)
		return integrate(part{0, 0, to, f(to), f(to) * to / 2})
	case "skynet":
		return float64(skynet(0, n))
	case "flat":
		return flat(n)
	case "timers_start":
		timerCosts(n)
		return timersFound[0]
	case "timers_cancel":
		return timersFound[1]
	case "timers_late50":
		timerLateness(n)
		return timersFound[2]
	case "timers_late99":
		return timersFound[3]
	}
	return math.NaN()
}

// What the last runs of the timers have shown, in ns: start, cancel, lateness p50 and p99.
var timersFound [4]float64

const timersBatch, timersBatches = 1000, 200

func hourOrTwo(i int) time.Duration {
	return time.Hour + time.Duration(uint64(i)*0x9e3779b97f4a7c15%uint64(time.Hour))
}

// n timers stay pending, a thousand more come and go.
func timerCosts(n int) {
	nothing := func() {}
	pending := make([]*time.Timer, n)
	for i := range pending {
		pending[i] = time.AfterFunc(hourOrTwo(i), nothing)
	}
	var batch [timersBatch]*time.Timer
	var starting, cancelling time.Duration
	for b := 0; b < timersBatches; b++ {
		from := time.Now()
		for i := range batch {
			batch[i] = time.AfterFunc(hourOrTwo(i), nothing)
		}
		between := time.Now()
		for i := range batch {
			batch[i].Stop()
		}
		starting += between.Sub(from)
		cancelling += time.Since(between)
	}
	for i := range pending {
		pending[i].Stop()
	}
	timersFound[0] = float64(starting.Nanoseconds()) / (timersBatch * timersBatches)
	timersFound[1] = float64(cancelling.Nanoseconds()) / (timersBatch * timersBatches)
}

// One timer of a millisecond after the other.
func timerLateness(n int) {
	late := make([]float64, n)
	done := make(chan struct{})
	for i := range late {
		deadline := time.Now().Add(time.Millisecond)
		time.AfterFunc(time.Until(deadline), func() {
			late[i] = float64(time.Since(deadline).Nanoseconds())
			done <- struct{}{}
		})
		<-done
	}
	sort.Float64s(late)
	timersFound[2] = late[n/2]
	timersFound[3] = late[n*99/100]
}

// A figure from /proc/self/status, in bytes; -1 when there is none.
func statusBytes(field string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	for _, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == field {
			if kib, err := strconv.ParseFloat(words[1], 64); err == nil {
				return kib * 1024
			}
		}
	}
	return -1
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: peer-go WORKERS")
		os.Exit(2)
	}
	workers, err := strconv.Atoi(os.Args[1])
	if err != nil || workers < 1 {
		os.Exit(2)
	}
	runtime.GOMAXPROCS(workers)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var bench string
		var n int
		if _, err := fmt.Sscan(in.Text(), &bench, &n); err != nil {
			os.Exit(2)
		}
		os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // where that is refused, the peak counts from the start
		before := statusBytes("VmRSS:")
		from := time.Now()
		answer := run(bench, n)
		seconds := time.Since(from).Seconds()
		fmt.Printf("%.17g %.9g %.0f\n", answer, seconds, math.Max(0, statusBytes("VmHWM:")-before))
	}
}
