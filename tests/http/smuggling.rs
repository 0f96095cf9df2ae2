//! The corpus of smuggling attempts against a real server, whole and in two pieces.

use std::time::Duration;

use crate::common::deadline;
use crate::support::{Peer, start};

const CORPUS: &str = include_str!("smuggling.txt");

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.bytes();
    while let Some(byte) = chars.next() {
        bytes.push(match (byte, byte == b'\\') {
            (byte, false) => byte,
            _ => match chars.next().expect("an escape is whole") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                _ => {
                    let digits: String = chars.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).expect("hexadecimal")
                }
            },
        });
    }
    bytes
}

#[test]
fn every_attempt_gets_its_answers_and_no_more() {
    deadline(|| {
        let server = start();
        for line in CORPUS.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.splitn(3, " | ").collect();
            let expected: Vec<u16> =
                parts[1].split(',').map(|status| status.parse().expect("a number")).collect();
            let bytes = unescape(parts[2]);
            for cut in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut peer = Peer::of(&server);
                peer.try_send(&bytes[..cut]);
                if cut > 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                peer.try_send(&bytes[cut..]).finish();
                let mut statuses = Vec::new();
                while let Some(answer) = peer.answer_to("GET") {
                    statuses.push(answer.status);
                }
                assert_eq!(statuses, expected, "cut at {cut}: {line}");
            }
        }
        assert!(server.metrics().http_refused > 200);
    });
}
