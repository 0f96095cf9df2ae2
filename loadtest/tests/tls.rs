//! `skyring-load echo --tls` as a user sees it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skyring-load"))
        .args(arguments)
        // What the options say goes before what the environment says.
        .env("SKYRING_LOAD_RATE", "2000")
        .output()
        .expect("the binary under test starts")
}

fn load(arguments: &[&str]) -> (Option<i32>, Value) {
    let quick = ["echo", "--tls", "--format", "json", "-c", "4", "-d", "400ms", "-w", "100ms"];
    let output = run(&[&quick[..], arguments].concat());
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), json)
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
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("tcp://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let _ = stream.write_all(&bytes[..count]);
        }
    });
    let output = run(&["echo", "--tls", "--target", &url]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("does the server speak it?"), "{said}");
}

#[test]
fn two_servers_of_tls_are_compared() {
    let line = format!("{} serve tls --set spin=0", env!("CARGO_BIN_EXE_skyring-load"));
    let quick = ["-c", "4", "-d", "1s", "--slice", "10ms", "-r", "1k", "--format", "json"];
    let sides = ["compare", "--protocol", "tls", "--a", "skyring", "--b", &line];
    let output = run(&[&sides[..], &quick].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(result["scenario"]["protocol"], "tls");
    assert!(result["b"]["cpu_ns_per_request"].as_f64() > Some(0.0), "{result}");
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
