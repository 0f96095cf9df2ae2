//! `skyring-load websocket` as a user sees it: against its own server, its peers, and servers of a
//! few lines that do each thing wrong that a load tool must notice.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::run;
use serde_json::Value;

const OPENED: &[u8] = b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn load(arguments: &[&str]) -> (Option<i32>, Value) {
    common::load(&["websocket"], arguments)
}

/// Echoes messages of less than 126 bytes; `change` sees each frame as the server would send it,
/// with its number on its connection.
fn server(change: impl Fn(usize, &mut Vec<u8>) + Clone + Send + 'static) -> String {
    format!("ws://{}/", common::server(move |stream| echo(stream, &change)))
}

fn echo(mut stream: TcpStream, change: impl Fn(usize, &mut Vec<u8>)) {
    let (mut received, mut buffer, mut number, mut is_open) = (Vec::new(), [0; 4096], 0, false);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(&buffer[..count]);
        if !is_open {
            let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") else {
                continue;
            };
            received.drain(..end + 4);
            is_open = stream.write_all(OPENED).is_ok();
        }
        while received.len() > 1 {
            assert_eq!(received[1] & 0x80, 0x80, "a client masks");
            let length = usize::from(received[1] & 0x7f);
            if received.len() < 6 + length {
                break;
            }
            let frame: Vec<u8> = received.drain(..6 + length).collect();
            if frame[0] & 0x0f > 8 {
                continue; // a pong
            }
            let mut answer = vec![frame[0], length as u8];
            answer.extend((0..length).map(|at| frame[6 + at] ^ frame[2 + at % 4]));
            change(number, &mut answer);
            number += 1;
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

#[test]
fn its_own_server_is_driven_open_and_closed() {
    let shapes: [&[&str]; 5] = [
        &[],
        &["--text", "--size", "100"],
        &["--size", "16k"],
        &["--size", "100k"],
        &["-r", "max", "--in-flight", "16"],
    ];
    for shape in shapes {
        let (status, json) = load(shape);
        assert_eq!(status, Some(0), "{shape:?}: {json:#}");
        assert_eq!(json["load"]["protocol"], "websocket");
        assert!(json["requests"].as_u64() > Some(200), "{json:#}");
        assert!(json["cpu_ns_per_request"]["server"].is_number());
    }
}

#[test]
fn fragments_and_pings_of_a_server_are_understood() {
    let url = server(|number, answer| {
        let length = answer.len() - 2;
        match number % 3 {
            0 => {
                let rest = answer.split_off(12);
                (answer[0], answer[1]) = (0x02, 10);
                answer.extend([0x80, length as u8 - 10]);
                answer.extend(rest);
            }
            1 => {
                answer.splice(0..0, *b"\x89\x02hi");
            }
            _ => {}
        }
    });
    let (status, json) = load(&["--target", &url]);
    assert_eq!(status, Some(0), "{json:#}");
}

#[test]
fn what_is_wrong_is_noticed_once_it_comes() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str, &str); 6] = [
        (|answer| answer[40] ^= 1, "mismatch", "byte 38"),
        (|answer| answer.truncate(2), "", ""),
        (|answer| answer[0] = 0xc2, "framing", "reserved"),
        (|answer| answer[0] = 0x81, "framing", "opcode 1"),
        (|answer| answer[1] |= 0x80, "framing", "masked"),
        (|answer| *answer = vec![0x88, 2, 0x03, 0xe9], "framing", "1001"),
    ];
    for (change, kind, words) in changes {
        let url = server(move |number, answer| {
            if number == 20 {
                change(answer);
            }
        });
        let (status, json) = load(&["--target", &url]);
        assert_eq!(status, Some(1), "{json:#}");
        if !kind.is_empty() {
            assert!(json["errors"][kind].as_u64() >= Some(1), "{words}: {json:#}");
            let said = json["errors"]["sentences"][0].as_str().unwrap_or_default();
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn a_server_that_does_not_open_is_told() {
    let address = common::server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    });
    let said = common::refusal(1, &["websocket", "--target", &format!("ws://{address}/")]);
    assert!(said.contains("404 Not Found") && said.contains("101"), "{said}");
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for arguments in
        [&["--target", "http://127.0.0.1:80"][..], &["--size", "15"], &["--text", "--size", "31"]]
    {
        let output = run(&[&["websocket"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn two_servers_of_websocket_are_compared() {
    assert_eq!(common::compare("websocket")["scenario"]["protocol"], "websocket");
}

#[cfg(feature = "peers")]
#[test]
fn peers_are_driven_as_skyring_is() {
    for server in ["tungstenite", "fastwebsockets"] {
        for shape in [&["--size", "64"][..], &["--size", "16k"], &["--text"]] {
            let (status, json) = load(&[&["--server", server], shape].concat());
            assert_eq!(status, Some(0), "{server}: {json:#}");
            assert!(json["requests"].as_u64() > Some(200), "{json:#}");
        }
    }
}

#[test]
fn a_broadcast_is_encoded_once_for_all_sockets() {
    let load = ["websocket", "--broadcast", "-c", "200", "-r", "50", "-d", "500ms", "-w", "100ms"];
    let (status, json) = common::measure(&load);
    assert_eq!(status, Some(0), "{json:#}");
    let messages = json["messages"].as_u64().expect("a count");
    assert!(messages >= 20, "{json:#}");
    assert_eq!(json["encodings"], messages, "one encoding a message, whoever hears it");
    assert_eq!(json["delivered"].as_u64(), json["said"].as_u64().map(|said| said * 200));
}
