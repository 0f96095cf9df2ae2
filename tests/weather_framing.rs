//! Bad weather: what a peer may write on the wire, cut where it likes.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use common::{
    Server, config, converse, deadline, echo, echoes_all, eventually, is_ended, pattern, read_end,
    read_u16, u16_frame, u32_frame,
};
use skyring::prelude::*;

/// Writes a piece, and sees to it that the server has received it before the next one.
fn write_alone(server: &Server, stream: &mut TcpStream, piece: &[u8], before: u64) {
    stream.write_all(piece).expect("written");
    let target = before + piece.len() as u64;
    eventually("a piece is received", || server.metrics().bytes_received >= target);
}

#[test]
fn frames_cut_at_every_byte_come_back_whole() {
    deadline(|| {
        let cases: [(Framing, Vec<u8>, Vec<u8>); 3] = [
            {
                let wire = [u16_frame(b"abc"), u16_frame(b""), u16_frame(b"d")].concat();
                (LengthPrefix::U16.into(), wire.clone(), wire)
            },
            {
                let wire = [u32_frame(b"abc"), u32_frame(b""), u32_frame(b"d")].concat();
                (LengthPrefix::U32.into(), wire.clone(), wire)
            },
            (Framing::Line, b"abc\r\n\n\r\nd\r\r\n".into(), b"abc\n\n\nd\r\n".into()),
        ];
        for (framing, wire, answer) in cases {
            let server = Server::start(config(), echo(framing));
            for cut in 0..=wire.len() {
                let mut stream = server.connect();
                let before = server.metrics().bytes_received;
                write_alone(&server, &mut stream, &wire[..cut], before);
                stream.write_all(&wire[cut..]).expect("written");
                stream.shutdown(Shutdown::Write).expect("ended");
                assert_eq!(read_end(&mut stream).expect("answered"), answer, "{framing} at {cut}");
            }
            server.settle();
            assert_eq!(server.metrics().malformed, 0);
            server.stop();
        }
    });
}

#[test]
fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    deadline(|| {
        let server = Server::start(config(), echo(LengthPrefix::U16));
        let wire =
            [u16_frame(&pattern(1, 40)), u16_frame(b""), u16_frame(&pattern(2, 40))].concat();
        let mut stream = server.connect();
        for byte in &wire {
            let before = server.metrics().bytes_received;
            write_alone(&server, &mut stream, &[*byte], before);
        }
        stream.shutdown(Shutdown::Write).expect("ended");
        assert_eq!(read_end(&mut stream).expect("answered"), wire);
        assert!(server.metrics().frames_joined >= 2, "{:?}", server.metrics());
        server.stop();
    });
}

#[test]
fn the_longest_frame_passes_and_the_next_byte_is_refused() {
    const MAX: usize = 1000;
    deadline(|| {
        let config = || config().frame_bytes_max(MAX);
        let line = |len| [vec![b'x'; len], b"\n".to_vec()].concat();
        let (u16s, u32s): (Framing, Framing) = (LengthPrefix::U16.into(), LengthPrefix::U32.into());
        for (framing, last, first) in [
            (u16s, u16_frame(&[7; MAX]), u16_frame(&[7; MAX + 1])),
            (u32s, u32_frame(&[7; MAX]), u32_frame(&[7; MAX + 1])),
            (Framing::Line, line(MAX), line(MAX + 1)),
        ] {
            let server = Server::start(config(), echo(framing));
            assert_eq!(converse(server.address, &last).expect("answered"), last, "{framing}");
            // What stands before the bad frame is answered, the bad one is not.
            let answer = converse(server.address, &[&last[..], &first, &last].concat());
            assert_eq!(answer.expect("answered"), last, "{framing}");
            server.settle();
            assert_eq!(server.metrics().malformed, 1, "{framing}");
            server.stop();
        }
    });
}

#[test]
fn a_claim_of_four_gib_is_refused_by_its_head_alone() {
    deadline(|| {
        let server = Server::start(config(), echo(LengthPrefix::U32));
        let innocent = server.connect();
        for head in [u32::MAX, (1 << 20) + 1] {
            let mut stream = server.connect();
            stream.write_all(&head.to_be_bytes()).expect("written");
            assert!(is_ended(&mut stream), "{head}");
        }
        assert_eq!(server.metrics().malformed, 2);
        // The last value allowed is believed, and costs nothing until the bytes come.
        let mut stream = server.connect();
        stream.write_all(&(1u32 << 20).to_be_bytes()).expect("written");
        stream.write_all(&[1; 10]).expect("written");
        drop(stream);
        let mut innocent = innocent;
        innocent.write_all(&u32_frame(b"still here")).expect("written");
        let mut answer = [0; 14];
        innocent.read_exact(&mut answer).expect("answered");
        assert_eq!(answer[4..], *b"still here");
        drop(innocent);
        server.settle();
        assert_eq!(server.metrics().malformed, 2, "an unfinished frame is no breach");
        server.stop();
    });
}

#[test]
fn a_line_without_an_end_is_cut_off_at_the_cap() {
    deadline(|| {
        let server = Server::start(config().frame_bytes_max(4096), echo(Framing::Line));
        let mut stream = server.connect();
        // More than the cap, while the server hangs up: the writes may fail, the read must end.
        for _ in 0..1000 {
            if stream.write_all(&[b'x'; 100]).is_err() {
                break;
            }
        }
        assert!(is_ended(&mut stream));
        drop(stream);
        server.settle();
        assert_eq!(server.metrics().malformed, 1);
        server.stop();
    });
}

#[test]
fn a_breach_after_many_frames_loses_none_of_them() {
    deadline(|| {
        let config = config().frame_bytes_max(64).mailbox_max(4).task_budget(1);
        let server = Server::start(config, echo(LengthPrefix::U16));
        let good: Vec<u8> = (0..500).flat_map(|n| u16_frame(&pattern(n, n % 65))).collect();
        let wire = [&good[..], &[0, 65], &[9; 3000]].concat();
        let mut stream = server.connect();
        stream.write_all(&wire).expect("written");
        assert_eq!(read_end(&mut stream).expect("an orderly end"), good);
        drop(stream);
        server.settle();
        let metrics = server.metrics();
        assert_eq!((metrics.malformed, metrics.frames), (1, 500), "{metrics:?}");
        server.stop();
    });
}

#[test]
fn a_flood_of_empty_frames_is_answered_frame_by_frame() {
    deadline(|| {
        let server = Server::start(config().mailbox_max(16), echo(LengthPrefix::U16));
        let payloads = vec![Vec::new(); 200_000];
        echoes_all(server.address, &payloads);
        server.settle();
        assert_eq!(server.metrics().frames, 200_000);
        server.stop();
    });
}

#[test]
fn raw_bytes_come_back_as_one_stream_whatever_the_cap() {
    deadline(|| {
        let config = config().frame_bytes_max(7).receive_bytes_max(64 * 1024);
        let server = Server::start(config, echo(Framing::Raw));
        let wire = pattern(3, 300_000);
        let mut stream = server.connect();
        let mut writer = stream.try_clone().expect("cloned");
        let sent = wire.clone();
        let sender = thread::spawn(move || {
            writer.write_all(&sent).expect("written");
            writer.shutdown(Shutdown::Write).expect("ended");
        });
        let answer = read_end(&mut stream).expect("answered");
        sender.join().expect("sent");
        assert!(answer == wire, "{} of {} bytes", answer.len(), wire.len());
        server.stop();
    });
}

#[test]
fn urgent_data_neither_stalls_nor_breaks_the_stream() {
    deadline(|| {
        let server = Server::start(config(), echo(LengthPrefix::U16));
        let mut stream = server.connect();
        let urgent = rustix::net::SendFlags::OOB;
        for round in 0..10 {
            stream.write_all(&u16_frame(&pattern(round, 50))[..20]).expect("written");
            rustix::net::send(&stream, b"!", urgent).expect("sent");
            stream.write_all(&u16_frame(&pattern(round, 50))[20..]).expect("written");
            assert_eq!(read_u16(&mut stream).expect("answered"), pattern(round, 50));
        }
        server.is_well();
        server.stop();
    });
}

#[test]
fn a_client_that_waits_between_all_its_bytes_hinders_nobody() {
    deadline(|| {
        let server = Server::start(config().pool_blocks(2), echo(LengthPrefix::U16));
        // Each holds a frame that is not whole; the pool has two blocks.
        let mut slow: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        let wire = u16_frame(&pattern(5, 10));
        for byte in &wire[..wire.len() - 1] {
            slow.iter_mut().for_each(|stream| stream.write_all(&[*byte]).expect("written"));
            thread::sleep(Duration::from_millis(5));
        }
        echoes_all(server.address, &vec![pattern(6, 5000); 100]);
        for stream in &mut slow {
            stream.write_all(&wire[wire.len() - 1..]).expect("written");
            assert_eq!(read_u16(stream).expect("answered"), pattern(5, 10));
        }
        server.stop();
    });
}
