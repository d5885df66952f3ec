// SPDX-License-Identifier: MIT
//
// bench/requests/go/main.go - the requests of bench/requests/request.h in Go: a goroutine for each, or a pool of
// goroutines behind a channel. Arguments and output are those of requests/server.c.
//
// Threads: GOMAXPROCS is what Go chooses. The main goroutine generates the load.
// Invariants: as in server.c.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	bufferWords    = 512 // 4096 bytes
	scratchBytes   = 2048
	line           = 64 // bytes
	shards         = 64
	grid           = 250 * time.Microsecond
	poll           = time.Millisecond
	patience       = 120 * time.Second
	recomputeEvery = 1009
	idle           = 100 * time.Millisecond // after which a worker beyond the minimum goes
)

type entry struct {
	result uint64
	done   time.Duration
}

type shard struct {
	count, sum uint64
	_          [line - 16]byte
}

var (
	burnBefore, burnAfter int
	io                    time.Duration
	entries               []entry
	totals                [shards]shard
	twice                 uint64
	began                 = time.Now()
)

func now() time.Duration { return time.Since(began) }

func fail(what string) {
	fmt.Fprintln(os.Stderr, "requests-go:", what)
	os.Exit(1)
}

func burn(x uint64, n int) uint64 {
	for ; n > 0; n-- {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

//go:noinline
func newBuffer() *[bufferWords]uint64 { return new([bufferWords]uint64) }

func result(id int, wait time.Duration) uint64 {
	var scratch [scratchBytes]byte
	buffer := newBuffer()
	for k := 0; k < scratchBytes/line; k++ {
		scratch[k*line] = byte(id + k)
	}
	x := burn(uint64(id)+1, burnBefore)
	for i := 0; i < bufferWords; i += line / 8 {
		buffer[i] = x ^ uint64(i/(line/8))
	}
	if wait != 0 {
		time.Sleep(wait)
	}
	y := uint64(0)
	for i := 0; i < bufferWords; i += line / 8 {
		y += buffer[i]
	}
	for k := 0; k < scratchBytes/line; k++ {
		y += uint64(scratch[k*line])
	}
	return burn(y|1, burnAfter)
}

func serve(id int) {
	r := result(id, io)
	e := &entries[id]
	if atomic.SwapUint64(&e.result, r) != 0 {
		atomic.AddUint64(&twice, 1)
	}
	e.done = now()
	s := &totals[id%shards]
	atomic.AddUint64(&s.sum, r)
	atomic.AddUint64(&s.count, 1)
}

func served() (n uint64) {
	for i := range totals {
		n += atomic.LoadUint64(&totals[i].count)
	}
	return
}

// --- implementations ---------------------------------------------------------------------------------------------

type server interface {
	submit(id int) bool
	stop()
}

type goroutines struct{}

func (goroutines) submit(id int) bool { go serve(id); return true }
func (goroutines) stop()              {}

type pool struct {
	queue       chan int
	block       bool
	workers     int64
	idlers      int64
	least, most int64
	mayGrow     bool
	stopped     chan bool
}

func newPool(least, most int64, queue int, block bool) *pool {
	p := &pool{queue: make(chan int, queue), block: block, least: least, most: most, mayGrow: most > least,
		stopped: make(chan bool)}
	for i := int64(0); i < least; i++ {
		p.add()
	}
	return p
}

func (p *pool) add() {
	atomic.AddInt64(&p.workers, 1)
	if p.mayGrow {
		go p.elastic()
	} else {
		go p.fixed()
	}
}

func (p *pool) fixed() {
	for id := range p.queue {
		serve(id)
	}
	p.leave()
}

// Takes work until there has been none for `idle`, and leaves if there are more workers than the minimum.
func (p *pool) elastic() {
	timer := time.NewTimer(idle)
	for {
		select {
		case id, ok := <-p.queue:
			if !ok {
				p.leave()
				return
			}
			serve(id)
			continue
		default:
		}
		atomic.AddInt64(&p.idlers, 1)
		if !timer.Stop() {
			select {
			case <-timer.C:
			default:
			}
		}
		timer.Reset(idle)
		select {
		case id, ok := <-p.queue:
			atomic.AddInt64(&p.idlers, -1)
			if !ok {
				p.leave()
				return
			}
			serve(id)
		case <-timer.C:
			atomic.AddInt64(&p.idlers, -1)
			if atomic.AddInt64(&p.workers, -1) >= p.least {
				return
			}
			atomic.AddInt64(&p.workers, 1)
		}
	}
}

func (p *pool) leave() {
	if atomic.AddInt64(&p.workers, -1) == 0 {
		close(p.stopped)
	}
}

func (p *pool) submit(id int) bool {
	if p.mayGrow && atomic.LoadInt64(&p.idlers) == 0 && atomic.LoadInt64(&p.workers) < p.most &&
		int64(len(p.queue)) >= atomic.LoadInt64(&p.workers) {
		p.add()
	}
	if p.block {
		p.queue <- id
		return true
	}
	select {
	case p.queue <- id:
		return true
	default:
		return false
	}
}

func (p *pool) stop() {
	close(p.queue)
	<-p.stopped
}

// --- the process -------------------------------------------------------------------------------------------------

func statusMB(field string) float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return -1
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), field) {
			kib, _ := strconv.ParseFloat(strings.Fields(s.Text())[1], 64)
			return kib / 1024
		}
	}
	return -1
}

func resetPeak() {
	if f, err := os.OpenFile("/proc/self/clear_refs", os.O_WRONLY, 0); err == nil {
		f.WriteString("5")
		f.Close()
	}
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) * 1e-9
}

// The longest of the garbage collector's last stops since the count was `before`, in ms.
func longestPause(before uint32) float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	longest := uint64(0)
	for n := m.NumGC; n > before && m.NumGC-n < uint32(len(m.PauseNs)); n-- {
		if p := m.PauseNs[(n+uint32(len(m.PauseNs))-1)%uint32(len(m.PauseNs))]; p > longest {
			longest = p
		}
	}
	return float64(longest) * 1e-6
}

// --- the load ----------------------------------------------------------------------------------------------------

type segment struct {
	count      int
	over, rest time.Duration
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fail("bad argument " + text)
	}
	return n
}

func segments(text string) (all []segment, offered int) {
	for _, part := range strings.Split(text, ",") {
		f := strings.Split(part, ":")
		if len(f) != 3 {
			fail("bad segments")
		}
		us := func(t string) time.Duration { return time.Duration(number(t)) * time.Microsecond }
		all = append(all, segment{number(f[0]), us(f[1]), us(f[2])})
		offered += number(f[0])
	}
	return
}

var (
	intended []time.Duration
	accepted []bool
)

func offer(s server, g segment, first int, start time.Duration) (taken uint64) {
	for i := 0; i < g.count; i++ {
		exact := time.Duration(int64(g.over) * int64(i) / int64(g.count))
		at := start + exact - exact%grid
		intended[first+i] = at
		if wait := at - now(); wait > 0 {
			time.Sleep(wait)
		}
		if s.submit(first + i) {
			accepted[first+i] = true
			taken++
		}
	}
	return
}

func drain(taken uint64) {
	for from := now(); served() < taken; time.Sleep(poll) {
		if now()-from > patience {
			fail("requests are lost or very slow")
		}
	}
}

func run(s server, all []segment) (taken uint64, busy time.Duration) {
	first, epochFirst := 0, 0
	start := now() + grid
	epoch := start
	for k, g := range all {
		taken += offer(s, g, first, start)
		first += g.count
		start += g.over
		if g.rest < 0 && k+1 < len(all) {
			continue
		}
		drain(taken)
		last := time.Duration(0)
		for i := epochFirst; i < first; i++ {
			if accepted[i] && entries[i].done > last {
				last = entries[i].done
			}
		}
		busy += last - epoch
		start = now()
		if g.rest > 0 {
			start += g.rest
		}
		epoch, epochFirst = start, first
	}
	return
}

// The results' sum, after every check that there is.
func check(taken uint64) (sum uint64) {
	completed, claimed := uint64(0), uint64(0)
	for i := range entries {
		r := entries[i].result
		if r == 0 {
			continue
		}
		if !accepted[i] {
			fail("a request that was not accepted has been served")
		}
		if i%recomputeEvery == 0 && r != result(i, 0) {
			fail("a result is wrong")
		}
		completed++
		sum += r
	}
	for i := range totals {
		claimed += totals[i].sum
	}
	if twice != 0 {
		fail("a request has been served twice")
	}
	if completed != taken || completed != served() {
		fail("requests were lost")
	}
	if sum != claimed {
		fail("the results are not those that were computed")
	}
	return
}

func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(p*float64(len(sorted)-1)+0.5)]) * 1e-6
}

func main() {
	a := os.Args
	if len(a) == 2 {
		if a[1] != "goroutine" && a[1] != "go-pool" {
			os.Exit(2)
		}
		return
	}
	if len(a) != 10 {
		fail("bad arguments")
	}
	burnBefore, burnAfter = number(a[6]), number(a[7])
	io = time.Duration(number(a[8])) * time.Microsecond
	all, offered := segments(a[9])
	entries = make([]entry, offered)
	intended = make([]time.Duration, offered)
	accepted = make([]bool, offered)
	for i := range entries { // touch them
		entries[i].done, intended[i], accepted[i] = 1, 1, false
	}
	var s server = goroutines{}
	if a[1] == "go-pool" {
		s = newPool(int64(number(a[2])), int64(number(a[3])), number(a[4]), a[5] == "block")
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	resetPeak()
	rss, cpu := statusMB("VmRSS:"), cpuSeconds()
	taken, busy := run(s, all)
	cpu = cpuSeconds() - cpu
	rss = statusMB("VmHWM:") - rss
	if rss < 0 {
		rss = 0
	}
	pause := longestPause(m.NumGC)
	s.stop()
	sum := check(taken)
	latencies := make([]time.Duration, 0, taken)
	for i := range entries {
		if entries[i].result != 0 {
			latencies = append(latencies, entries[i].done-intended[i])
		}
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	fmt.Printf("%d %d %d 0 0 %d %.6f %.4f %.4f %.4f %.3f %.4f %.4f -1 -1\n", offered, len(latencies),
		offered-len(latencies), sum, busy.Seconds(), percentile(latencies, 0.5), percentile(latencies, 0.99),
		percentile(latencies, 0.999), rss, cpu, pause)
}
