//! `skyring-load echo --tls` as a user sees it.

mod common;

use std::io::{Read, Write};

use serde_json::Value;

fn load(arguments: &[&str]) -> (Option<i32>, Value) {
    common::load(&["echo", "--tls"], arguments)
}

const SHAPES: [&[&str]; 5] = [
    &[],
    &["--framing", "line", "--size", "100"],
    &["--framing", "u32", "--size", "100k", "-r", "200"],
    &["-r", "max", "--in-flight", "16"],
    &["-r", "max", "--in-flight", "4", "--size", "16k"],
];

#[test]
fn its_own_server_is_driven_open_and_closed() {
    for shape in SHAPES {
        let (status, json) = load(shape);
        assert_eq!(status, Some(0), "{shape:?}: {json:#}");
        assert_eq!(json["load"]["protocol"], "tls");
        assert!(json["requests"].as_u64() > Some(30), "{json:#}");
        assert!(json["cpu_ns_per_request"]["server"].is_number());
    }
}

#[test]
fn a_server_without_tls_is_told() {
    let address = common::server(|mut stream| {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap_or(0);
        let _ = stream.write_all(&bytes[..count]);
    });
    let said = common::refusal(1, &["echo", "--tls", "--target", &format!("tcp://{address}")]);
    assert!(said.contains("does the server speak it?"), "{said}");
}

#[test]
fn two_servers_of_tls_are_compared() {
    assert_eq!(common::compare("tls")["scenario"]["protocol"], "tls");
}

#[cfg(feature = "peers")]
#[test]
fn tokio_rustls_is_driven_as_skyring_is() {
    for shape in SHAPES {
        let (status, json) = load(&[&["--server", "tokio-rustls"], shape].concat());
        assert_eq!(status, Some(0), "{json:#}");
        assert!(json["requests"].as_u64() > Some(30), "{json:#}");
    }
}
