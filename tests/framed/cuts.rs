//! Valid and mutated input, cut where the peer and the weather like.

use std::time::Duration;

use skyring::net::{Framed, ReadFrameError, TcpListener, TcpStream};
use skyring::prelude::*;
use skyring::sim::{Faults, Simulation};
use skyring::wire::{FrameError, Step};

use crate::codecs::{encoded, framings, payloads};

const MAX: usize = 10;

/// How reading ended.
#[derive(Debug, PartialEq)]
enum End {
    Whole,
    Inside(Vec<u8>),
    Malformed(FrameError),
}

/// What the framing makes of bytes that lie there all at once.
fn expected(framing: Framing, mut bytes: &[u8]) -> (Vec<Vec<u8>>, End) {
    let (mut frames, mut scanned) = (Vec::new(), 0);
    while !bytes.is_empty() {
        match framing.decode(bytes, &mut scanned, MAX) {
            Ok(Step::Frame(found)) => {
                frames.push(bytes[found.range()].to_vec());
                bytes = &bytes[found.encoded()..];
            }
            Ok(Step::Partial { .. }) => return (frames, End::Inside(bytes.to_vec())),
            Err(error) => return (frames, End::Malformed(error)),
        }
    }
    (frames, End::Whole)
}

/// Reads to the end; each read is dropped and begun anew when `patience` is over.
async fn read_all(framed: &Framed<TcpStream>, patience: Duration) -> (Vec<Vec<u8>>, End) {
    let mut frames = Vec::new();
    let end = loop {
        let Ok(read) = framed.read().within(patience).await else { continue };
        match read {
            Ok(Some(frame)) => frames.push(frame.to_vec()),
            Ok(None) => break End::Whole,
            Err(ReadFrameError::Ended { leftover }) => {
                assert_eq!(framed.read().await.expect("an end, and nothing else"), None);
                break End::Inside(leftover.to_vec());
            }
            Err(ReadFrameError::Malformed(error)) => {
                let again = framed.read().await.expect_err("it stays broken");
                assert!(matches!(again, ReadFrameError::Malformed(same) if same == error));
                break End::Malformed(error);
            }
            Err(other) => panic!("{other}"),
        }
    };
    (frames, end)
}

/// Sends `pieces` over a connection of their own, with a pause between; what is read of them.
async fn through(
    framing: Framing,
    pieces: Vec<Vec<u8>>,
    patience: Duration,
) -> Result<(Vec<Vec<u8>>, End)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let sender = TcpStream::connect(listener.local()).await?;
    let framed = Framed::with_max(listener.accept().await?, framing, MAX);
    spawn(async move {
        for piece in pieces {
            sender.write(piece)?;
            sleep(Duration::from_millis(10)).await;
        }
        sender.finish();
        while sender.read().await?.is_some() {}
        Ok::<(), Error>(())
    });
    Ok(read_all(&framed, patience).await)
}

const PATIENT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(3);

/// Runs clients in bad weather.
fn run(seed: u64, body: impl Future<Output = Result<()>> + 'static) {
    let mut sim = Simulation::new(seed).weather(Faults::bad_weather());
    let ran = sim.run(body).unwrap_or_else(|stuck| panic!("{stuck}"));
    ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    sim.stop().expect("nothing is left");
}

#[test]
fn every_cut_of_every_framing_gives_the_same_frames() {
    for (seed, framing) in framings().into_iter().enumerate() {
        run(seed as u64, async move {
            let all = payloads(framing);
            let wire = encoded(framing, &all);
            for cut in 0..=wire.len() {
                let pieces = vec![wire[..cut].to_vec(), wire[cut..].to_vec()];
                let patience = if cut % 2 == 0 { PATIENT } else { SHORT };
                let got = through(framing, pieces, patience).await?;
                assert_eq!(got, (all.clone(), End::Whole), "{framing} cut at {cut}");
            }
            Ok(())
        });
    }
}

#[test]
fn a_sender_of_single_bytes_is_read_by_reads_that_are_dropped() {
    for (seed, framing) in framings().into_iter().enumerate() {
        run(seed as u64, async move {
            let all = payloads(framing);
            let alone = encoded(framing, &all).chunks(1).map(<[u8]>::to_vec).collect();
            assert_eq!(through(framing, alone, SHORT).await?, (all, End::Whole), "{framing}");
            Ok(())
        });
    }
}

#[test]
fn a_peer_that_ends_within_a_frame_leaves_what_came_of_it() {
    for (seed, framing) in framings().into_iter().enumerate() {
        run(seed as u64, async move {
            let wire = encoded(framing, &payloads(framing));
            for cut in 0..wire.len() {
                let got = through(framing, vec![wire[..cut].to_vec()], PATIENT).await?;
                assert_eq!(got, expected(framing, &wire[..cut]), "{framing} ended at {cut}");
            }
            Ok(())
        });
    }
}

#[test]
fn the_longest_payload_passes_and_the_next_byte_is_refused() {
    for (seed, framing) in framings().into_iter().enumerate() {
        if matches!(framing, Framing::Fixed(_)) {
            continue; // all have one length
        }
        let ends_by_sign = ["line", "checked"].contains(&framing.to_string().as_str());
        run(seed as u64, async move {
            let longest = vec![b'x'; MAX];
            let wire = encoded(framing, &[longest.clone(), [&longest[..], b"y"].concat()]);
            let alone = wire.chunks(1).map(<[u8]>::to_vec).collect();
            for pieces in [vec![wire.clone()], alone] {
                let (frames, end) = through(framing, pieces, PATIENT).await?;
                assert!(frames.len() == 1 && frames[0] == longest, "{framing}: {frames:?}");
                let refused = match framing {
                    _ if ends_by_sign => FrameError::LineTooLong { max: MAX },
                    _ => FrameError::TooLong { len: MAX + 1, max: MAX },
                };
                assert_eq!(end, End::Malformed(refused), "{framing}");
            }
            Ok(())
        });
    }
}

#[test]
fn mutated_input_means_the_same_however_it_is_cut() {
    let mut state = 0x5EED_u64;
    let mut below = move |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for seed in 0..20 {
        let inputs: Vec<_> = (0..30)
            .map(|n| {
                let framing = framings()[n % 7];
                let mut wire = encoded(framing, &payloads(framing));
                for _ in 0..1 + below(3) {
                    let at = below(wire.len());
                    match below(3) {
                        0 => wire[at] ^= 1 << below(8),
                        1 => wire.truncate(at + 1),
                        _ => wire.insert(at, b"\n\r\0\xff5:,"[below(7)]),
                    }
                }
                let cut = below(wire.len());
                (framing, wire, cut)
            })
            .collect();
        run(seed, async move {
            for (framing, wire, cut) in inputs {
                let pieces = vec![wire[..cut].to_vec(), wire[cut..].to_vec()];
                let got = through(framing, pieces, SHORT).await?;
                assert_eq!(got, expected(framing, &wire), "{framing}, cut at {cut}: {wire:?}");
            }
            Ok(())
        });
    }
}
