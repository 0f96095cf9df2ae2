//! What a frame costs beside the kernel: finding it, slicing it, letting it leave the core.
//!
//! `cargo bench --bench frames`. Each pair is measured in turn in one run; read the ratios.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skyring::wire::Step;
use skyring::{Frame, Framing, LengthPrefix};

/// Runs a body this many times between two looks at the clock.
const BATCH: u32 = 1000;
/// How long each side of a pair is measured, in all.
const TIME: Duration = Duration::from_millis(400);

/// The fastest batch of each side, in nanoseconds a call, taken in turn.
fn pair(mut a: impl FnMut(), mut b: impl FnMut()) -> (f64, f64) {
    let mut best = (f64::MAX, f64::MAX);
    let batch = |body: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..BATCH).for_each(|_| body());
        start.elapsed().as_nanos() as f64 / f64::from(BATCH)
    };
    let start = Instant::now();
    while start.elapsed() < 2 * TIME {
        best.0 = best.0.min(batch(&mut a));
        best.1 = best.1.min(batch(&mut b));
    }
    best
}

fn report(what: &str, against: &str, (a, b): (f64, f64)) {
    println!("{what:<30} {a:>7.1} ns   {against:<32} {b:>7.1} ns   ratio {:.2}", a / b);
}

/// How many frames `framing` finds in a block.
fn decode_all(framing: Framing, block: &[u8]) -> usize {
    let (mut at, mut frames, mut scanned) = (0, 0, 0);
    while let Ok(Step::Frame(found)) = framing.decode(&block[at..], &mut scanned, 1 << 20) {
        at += found.encoded();
        frames += 1;
    }
    frames
}

fn main() {
    let prefixed: Vec<u8> = (0..16).flat_map(|_| [&[0, 64][..], &[7; 64]].concat()).collect();
    let lines: Vec<u8> = (0..16).flat_map(|_| [&[b'x'; 64][..], b"\n"].concat()).collect();
    assert_eq!(decode_all(LengthPrefix::U16.into(), &prefixed), 16);
    assert_eq!(decode_all(Framing::Line, &lines), 16);
    let found = pair(
        || _ = black_box(decode_all(LengthPrefix::U16.into(), black_box(&prefixed))),
        || _ = black_box(decode_all(Framing::Line, black_box(&lines))),
    );
    report("find 16 u16 frames of 64 B", "find 16 lines of 64 B", found);

    let frame = Frame::from(vec![7; 4096]);
    let bytes = Bytes::from(vec![7; 4096]);
    let sliced =
        pair(|| drop(black_box(frame.slice(100..164))), || drop(black_box(bytes.slice(100..164))));
    report("slice a frame and drop it", "slice a Bytes and drop it", sliced);

    let small = frame.slice(..64);
    let left = pair(
        || drop(black_box(small.clone().into_bytes())),
        || drop(black_box(Bytes::copy_from_slice(&bytes[..64]))),
    );
    report("Frame::into_bytes of 64 B", "Bytes::copy_from_slice of 64 B", left);
}
