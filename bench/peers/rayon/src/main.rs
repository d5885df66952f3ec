// SPDX-License-Identifier: MIT
//
// bench/peers/rayon/src/main.rs - part of the suite in rayon: `join` for two-way forks, `scope` for more. A program of
// its own, which peers/child.c talks to: a line "BENCH N" in, a line "ANSWER SECONDS BYTES" out.
//
// Threads: a pool of as many workers as the command line says.
use rayon::{join, scope};
use std::io::BufRead;

fn fib(n: i64) -> i64 {
    if n < 2 {
        return n;
    }
    let (left, right) = join(|| fib(n - 1), || fib(n - 2));
    left + right
}

const QUEENS_MAX: usize = 16;
type Board = [i8; QUEENS_MAX];

fn peaceful(b: &Board, rows: usize) -> bool {
    for upper in 0..rows {
        for lower in upper + 1..rows {
            let aside = b[lower] as i64 - b[upper] as i64;
            let down = (lower - upper) as i64;
            if aside == 0 || aside == down || aside == -down {
                return false;
            }
        }
    }
    true
}

fn below(b: &Board, n: usize, row: usize) -> i64 {
    if row == n {
        return 1;
    }
    let mut found = [0i64; QUEENS_MAX];
    scope(|s| {
        for (c, slot) in found.iter_mut().enumerate().take(n) {
            let mut next = *b;
            next[row] = c as i8;
            if peaceful(&next, row + 1) {
                s.spawn(move |_| *slot = below(&next, n, row + 1));
            }
        }
    });
    found.iter().sum()
}

// SHA-1 of a message of at most 13 words (FIPS 180-4).
fn sha1(message: &[u32]) -> [u32; 5] {
    let mut w = [0u32; 80];
    w[..message.len()].copy_from_slice(message);
    w[message.len()] = 0x8000_0000;
    w[15] = message.len() as u32 * 32;
    for i in 16..80 {
        w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
    }
    let start = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let [mut a, mut b, mut c, mut d, mut e] = start;
    for (i, word) in w.iter().enumerate() {
        let (f, k) = match i / 20 {
            0 => ((b & c) | (!b & d), 0x5a82_7999u32),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6),
        };
        let sum = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
        e = d;
        d = c;
        c = b.rotate_left(30);
        b = a;
        a = sum;
    }
    [
        start[0].wrapping_add(a),
        start[1].wrapping_add(b),
        start[2].wrapping_add(c),
        start[3].wrapping_add(d),
        start[4].wrapping_add(e),
    ]
}

#[derive(Clone, Copy)]
struct Node {
    state: [u32; 5],
    depth: u32,
}

fn root(tree: i64) -> Node {
    Node { state: sha1(&[0, 0, 0, 0, if tree == 0 { 19 } else { 42 }]), depth: 0 }
}

fn child(n: &Node, i: u32) -> Node {
    let s = &n.state;
    Node { state: sha1(&[s[0], s[1], s[2], s[3], s[4], i]), depth: n.depth + 1 }
}

fn children(tree: i64, n: &Node) -> usize {
    let u = (n.state[4] & 0x7fff_ffff) as f64 / 2147483648.0;
    if tree != 0 {
        return if n.depth == 0 {
            2000
        } else if u < 0.124875 {
            8
        } else {
            0
        };
    }
    if n.depth >= 10 {
        return 0;
    }
    let k = ((1.0 - u).ln() / (1.0f64 - 1.0 / 5.0).ln()).floor() as usize;
    k.min(100)
}

fn visit(tree: i64, n: &Node) -> i64 {
    let k = children(tree, n);
    if k == 0 {
        return 1;
    }
    let mut found = vec![0i64; k];
    scope(|s| {
        for (i, slot) in found.iter_mut().enumerate() {
            let next = child(n, i as u32);
            s.spawn(move |_| *slot = visit(tree, &next));
        }
    });
    1 + found.iter().sum::<i64>()
}

fn f(x: f64) -> f64 {
    (x * x + 1.0) * x
}

fn integrate(x1: f64, y1: f64, x2: f64, y2: f64, area: f64) -> f64 {
    let width = (x2 - x1) / 2.0;
    let x = x1 + width;
    let y = f(x);
    let left = (y1 + y) / 2.0 * width;
    let right = (y + y2) / 2.0 * width;
    if (left + right - area).abs() < 1e-9 {
        return left + right;
    }
    let (a, b) = join(|| integrate(x1, y1, x, y, left), || integrate(x, y, x2, y2, right));
    a + b
}

fn skynet(first: i64, leaves: i64) -> i64 {
    if leaves == 1 {
        return first;
    }
    let mut found = [0i64; 10];
    let each = leaves / 10;
    scope(|s| {
        for (i, slot) in found.iter_mut().enumerate() {
            s.spawn(move |_| *slot = skynet(first + i as i64 * each, each));
        }
    });
    found.iter().sum()
}

fn flat(n: i64) -> f64 {
    scope(|s| {
        for _ in 0..n {
            s.spawn(|_| {});
        }
    });
    1.0
}

fn run(bench: &str, n: i64) -> f64 {
    match bench {
        "fib" => fib(n) as f64,
        "nqueens" => below(&[0; QUEENS_MAX], n as usize, 0) as f64,
        "uts_t1" | "uts_t3" => visit(n, &root(n)) as f64,
        "integrate" => integrate(0.0, 0.0, n as f64, f(n as f64), f(n as f64) * n as f64 / 2.0),
        "skynet" => skynet(0, n) as f64,
        "flat" => flat(n),
        _ => f64::NAN,
    }
}

// A figure from /proc/self/status, in bytes; -1 when there is none.
fn status_bytes(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with(field))
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(-1.0, |kib| kib * 1024.0)
}

fn main() {
    let workers = std::env::args().nth(1).and_then(|w| w.parse().ok()).expect("usage: peer-rayon WORKERS");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("a pool");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let mut words = line.split_whitespace();
        let bench = words.next().expect("a name").to_string();
        let n = words.next().and_then(|n| n.parse().ok()).expect("a size");
        let _ = std::fs::write("/proc/self/clear_refs", "5"); // where refused, the peak counts from the start
        let before = status_bytes("VmRSS:");
        let from = std::time::Instant::now();
        let answer = pool.install(|| run(&bench, n));
        let seconds = from.elapsed().as_secs_f64();
        let growth = (status_bytes("VmHWM:") - before).max(0.0);
        println!("{:.17e} {:.9} {:.0}", answer, seconds, growth);
    }
}
