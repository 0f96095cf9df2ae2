//! `skyring-load http` as a user sees it: against its own server, its peer, and servers of a few
//! lines that do each thing wrong that a load tool must notice.

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;

use common::run;
use serde_json::Value;

fn load(arguments: &[&str]) -> (Option<i32>, Value) {
    common::load(&["http"], arguments)
}

/// Answers each request, which has no body, with the `answer` of its number on its connection.
fn server(answer: impl Fn(usize) -> String + Clone + Send + 'static) -> SocketAddr {
    common::server(move |mut stream| {
        let (mut received, mut buffer, mut number) = (Vec::new(), [0; 4096], 0);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            received.extend_from_slice(&buffer[..count]);
            while let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") {
                received.drain(..end + 4);
                if stream.write_all(answer(number).as_bytes()).is_err() {
                    return;
                }
                number += 1;
            }
        }
    })
}

fn plain(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One wrong answer in the midst of right ones; the errors that were counted.
fn errors(wrong: &'static str) -> Value {
    let answer = move |number| if number == 20 { wrong.to_owned() } else { plain(200, "hello") };
    let url = format!("http://{}/", server(answer));
    let (status, json) = load(&["--target", &url]);
    assert_eq!(status, Some(1), "{json:#}");
    assert_eq!(json["verdict"]["trustworthy"], false);
    json["errors"].clone()
}

#[test]
fn the_bare_ring_answers_each_head_in_order() {
    for shape in [&["--in-flight", "1"][..], &["-r", "max", "--in-flight", "100"]] {
        let (status, json) = load(&[shape, &["--server", "raw-http"]].concat());
        assert_eq!(status, Some(0), "{shape:?}: {json:#}");
        assert_eq!(json["errors"]["total"], 0, "{json:#}");
    }
}

#[test]
fn its_own_server_is_driven_open_and_closed() {
    let shapes: [&[&str]; 5] = [
        &[],
        &["--method", "HEAD", "--in-flight", "4"],
        &["--echo"],
        &["--echo", "--size", "100k"],
        &["-r", "max", "--in-flight", "16"],
    ];
    for shape in shapes {
        let (status, json) = load(shape);
        assert_eq!(status, Some(0), "{shape:?}: {json:#}");
        assert_eq!(
            (&json["scenario"], &json["load"]["protocol"]),
            (&"http".into(), &"http".into())
        );
        assert_eq!(json["errors"]["total"], 0);
        assert!(json["requests"].as_u64() > Some(200), "{json:#}");
        assert!(json["cpu_ns_per_request"]["server"].is_number());
    }
}

#[test]
fn chunked_answers_are_compared_too() {
    let url = format!(
        "http://{}/x",
        server(|number| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let cut = 1 + number % 4;
            let (left, right) = "hello".split_at(cut);
            format!("{head}{cut:x}\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\n", 5 - cut)
        })
    );
    let (status, json) = load(&["--target", &url]);
    assert_eq!(status, Some(0), "{json:#}");
    assert_eq!(json["load"]["request"], "GET /x");
}

#[test]
fn another_status_length_or_byte_is_a_mismatch() {
    for (wrong, words) in [
        ("HTTP/1.1 503 X\r\ncontent-length: 5\r\n\r\nhello", "status is 503, 200 was due"),
        ("HTTP/1.1 200 X\r\ncontent-length: 4\r\n\r\nhell", "4 bytes of content, 5 were due"),
        ("HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\nhallo", "byte 1 of the reply is 0x61"),
    ] {
        let errors = errors(wrong);
        assert!(errors["mismatch"].as_u64() >= Some(1), "{errors:#}");
        assert_eq!(errors["total"], errors["mismatch"], "{errors:#}");
        assert!(errors["sentences"][0].as_str().is_some_and(|said| said.contains(words)));
    }
}

#[test]
fn an_answer_without_a_known_end_costs_the_connection() {
    for wrong in [
        "HTTP/1.1 200 X\r\n\r\n",
        "HTTP/1.1 200 X\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        "nonsense\r\n\r\n",
        // More than was asked for, and nobody knows whose it is.
        "HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let errors = errors(wrong);
        assert!(errors["framing"].as_u64() >= Some(1), "{errors:#}");
    }
}

#[test]
fn an_answer_without_bound_ends_its_connection_and_not_the_tool() {
    let huge = "HTTP/1.1 200 X\r\ncontent-length: 999999999\r\n\r\n";
    let answer = move |number| {
        if number == 20 { format!("{huge}{}", "x".repeat(1 << 20)) } else { plain(200, "hello") }
    };
    let (status, json) = load(&["--target", &format!("http://{}/", server(answer))]);
    assert_eq!(status, Some(1));
    assert!(json["errors"]["framing"].as_u64() >= Some(1), "{json:#}");
}

#[test]
fn refusals_and_what_is_no_echo_are_told_before_the_load() {
    let refuses = format!("http://{}/", server(|_| plain(404, "")));
    let other = format!("http://{}/", server(|_| plain(200, "hello")));
    for (arguments, words) in [
        (&["--target", &*refuses][..], "status 404"),
        (&["--target", &other, "--echo"], "is no echo"),
    ] {
        let said = common::refusal(1, &[&["http"], arguments].concat());
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for arguments in [
        &["--target", "127.0.0.1:80"][..],
        &["--size", "15"],
        &["--echo", "--size", "0"],
        &["--method", "HEAD", "--size", "64"],
        &["--method", "get"],
    ] {
        let output = run(&[&["http"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn two_servers_of_http_are_compared() {
    assert_eq!(common::compare("http")["scenario"]["request"], "GET /plaintext");
}

#[cfg(feature = "peers")]
#[test]
fn hyper_is_driven_as_skyring_is() {
    for server in ["hyper", "hyper --pipeline-flush"] {
        let line = format!("{} serve {server}", env!("CARGO_BIN_EXE_skyring-load"));
        for shape in [&["--in-flight", "4"][..], &["--echo", "--size", "20k"]] {
            let (status, json) = load(&[&["--server", &line], shape].concat());
            assert_eq!(status, Some(0), "{json:#}");
            assert!(json["requests"].as_u64() > Some(200), "{json:#}");
        }
    }
}

#[cfg(not(feature = "peers"))]
#[test]
fn a_peer_that_was_not_built_says_how_to_have_it() {
    let output = run(&["serve", "hyper"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "it does not listen");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features peers"));
    let sides = ["compare", "--protocol", "http", "--a", "skyring", "--b", "hyper", "-d", "1s"];
    let said = String::from_utf8_lossy(&run(&sides).stderr).into_owned();
    assert!(said.contains("--features peers") && said.contains("ended before"), "{said}");
}
