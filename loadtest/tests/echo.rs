//! `skyring-load echo` as a user sees it, against servers of a few lines: one that answers, and
//! others that do each thing wrong that a load tool must notice.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::server;
use serde_json::Value;

/// Answers with what `change` makes of the bytes, until either side ends.
fn answer(mut stream: TcpStream, mut change: impl FnMut(&mut Vec<u8>) -> bool) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let mut bytes = buffer[..count].to_vec();
        if !change(&mut bytes) || stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn echo_server() -> SocketAddr {
    server(|stream| answer(stream, |_| true))
}

fn start(target: SocketAddr, options: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_skyring-load"))
        .args(["echo", "--target", &format!("tcp://{target}"), "--format", "json"])
        .args(options)
        // What the options say goes before what the environment says.
        .env("SKYRING_LOAD_CONNECTIONS", "4")
        .env("SKYRING_LOAD_DURATION", "400ms")
        .env("SKYRING_LOAD_WARM_UP", "100ms")
        .env("SKYRING_LOAD_RATE", "2000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts")
}

/// Waits for the end with a deadline: a tool that hangs fails its test instead of hanging it.
fn end(mut child: std::process::Child) -> Output {
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("the child is ours").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("the child is ours");
            panic!("skyring-load did not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("its output")
}

fn load(target: SocketAddr, options: &[&str]) -> (Option<i32>, Value) {
    let output = end(start(target, options));
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), json)
}

#[test]
fn an_echo_is_measured_in_every_framing() {
    let target = echo_server();
    for framing in ["raw", "u16", "u32", "line"] {
        for size in ["32", "5000"] {
            let (status, json) = load(target, &["--framing", framing, "--size", size]);
            assert_eq!(status, Some(0), "{framing} {size}: {json:#}");
            assert_eq!(json["errors"]["total"], 0);
            assert!(json["requests"].as_u64().is_some_and(|count| (600..1000).contains(&count)));
            assert!(json["response_ns"]["p90"].is_u64() && json["response_ns"]["p9999"].is_null());
            assert!(json["cpu_ns_per_request"]["server"].is_number(), "a local server is found");
        }
    }
}

#[test]
fn a_closed_loop_keeps_its_requests_in_flight() {
    let (status, json) = load(echo_server(), &["-r", "max", "--in-flight", "32"]);
    assert_eq!(status, Some(0), "{json:#}");
    assert_eq!(json["load"]["loop"], "closed");
    assert!(json["rate"]["target"].is_null());
    assert!(json["requests"].as_u64() > Some(1000), "{json:#}");
}

#[test]
fn a_stall_shows_in_the_response_time_of_all_who_waited() {
    let begin = Instant::now();
    let target = server(move |stream| {
        answer(stream, move |_| {
            let since = begin.elapsed().as_millis();
            if (300..600).contains(&since) {
                thread::sleep(Duration::from_millis(600 - since as u64));
            }
            true
        });
    });
    let (status, json) = load(target, &["-d", "1s"]);
    assert_eq!(status, Some(0));
    let p90 = json["response_ns"]["p90"].as_u64().expect("2000 requests suffice");
    assert!(p90 > 100_000_000, "a third of the requests were due in the stall, p90 is {p90} ns");
}

#[test]
fn a_corrupted_byte_is_an_error_that_says_where() {
    let target = server(|stream| {
        let mut left = 100;
        answer(stream, move |bytes| {
            left -= 1;
            if left == 0 {
                bytes[40] ^= 0x20;
            }
            true
        });
    });
    let (status, json) = load(target, &[]);
    assert_eq!(status, Some(1), "{json:#}");
    assert!(json["errors"]["mismatch"].as_u64() >= Some(1), "{json:#}");
    assert_eq!(json["errors"]["total"], json["errors"]["mismatch"]);
    assert!(json["errors"]["sentences"][0].as_str().is_some_and(|words| words.contains("byte 38")));
    assert_eq!(json["verdict"]["trustworthy"], false);
}

#[test]
fn a_wrong_length_and_unasked_bytes_cost_the_connection() {
    let wrong = server(|stream| {
        answer(stream, |bytes| {
            bytes[1] ^= 1;
            true
        })
    });
    let twice = server(|stream| {
        answer(stream, |bytes| {
            bytes.extend_from_within(..);
            true
        })
    });
    for target in [wrong, twice] {
        let (status, json) = load(target, &[]);
        assert_eq!(status, Some(1), "{json:#}");
        let errors = &json["errors"];
        let noticed =
            errors["framing"].as_u64().unwrap_or(0) + errors["mismatch"].as_u64().unwrap_or(0);
        assert!(noticed >= 1, "{json:#}");
    }
}

#[test]
fn a_server_that_closes_is_a_lost_connection() {
    let target = server(|stream| {
        let mut left = 20;
        answer(stream, move |_| {
            left -= 1;
            left > 0
        });
    });
    let (status, json) = load(target, &[]);
    assert_eq!(status, Some(1));
    assert_eq!(json["errors"]["connection_lost"], 4, "{json:#}");
    assert_eq!(json["verdict"]["trustworthy"], false);
}

#[test]
fn requests_that_are_never_answered_are_told() {
    let target = server(|stream| {
        answer(stream, |bytes| {
            bytes.clear();
            true
        })
    });
    let (status, json) = load(target, &["-r", "200"]);
    assert_eq!(status, Some(1));
    assert_eq!(json["requests"], 0);
    assert!(json["errors"]["censored"].as_u64() > Some(40), "{json:#}");
    assert!(json["response_ns"]["max"].is_null());
}

#[test]
fn a_refused_connection_says_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = free.local_addr().expect("its address");
    drop(free);
    let output = end(start(nobody, &[]));
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("start the server first"), "{words}");
}

#[test]
fn a_size_too_small_for_its_framing_is_wrong_usage() {
    let output = end(start(echo_server(), &["--framing", "line", "--size", "31"]));
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("too small for line framing"), "{words}");
}

#[test]
fn an_interrupted_run_tells_what_it_measured() {
    let child = start(echo_server(), &["-d", "60s"]);
    thread::sleep(Duration::from_millis(1200));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let output = end(child);
    assert_eq!(output.status.code(), Some(130));
    let json: Value = serde_json::from_slice(&output.stdout).expect("a result");
    assert_eq!(json["interrupted"], true);
    assert_eq!(json["verdict"]["reasons"][0], "the run was interrupted");
    assert!(json["requests"].as_u64() > Some(100), "{json:#}");
    assert!(json["load"]["measured_s"].as_f64() < Some(10.0));
}

#[test]
fn a_report_is_written_where_asked() {
    let folder = std::env::temp_dir().join(format!("skyring-load-{}", std::process::id()));
    let place = folder.to_str().expect("a plain path");
    let (status, json) = load(echo_server(), &["-o", place]);
    let result = std::fs::read_to_string(folder.join("result.json"));
    let page = std::fs::read_to_string(folder.join("report.html"));
    std::fs::remove_dir_all(&folder).expect("the folder was made");
    assert_eq!(status, Some(0));
    let written: Value = serde_json::from_str(&result.expect("a result")).expect("JSON");
    assert_eq!(written, json);
    assert!(page.expect("a page").contains("<svg"));
}
