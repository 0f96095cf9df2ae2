//! What several tests of the load tool need: runs of it, and a listener for servers of a few lines.
#![allow(dead_code, reason = "each test names some of it")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

/// Runs the tool to its end, at 2,000 requests a second unless the arguments say otherwise.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skyring-load"))
        .args(arguments)
        // What the options say goes before what the environment says.
        .env("SKYRING_LOAD_RATE", "2000")
        .output()
        .expect("the binary under test starts")
}

/// A short run of a scenario with few connections: its exit status, and its result.
pub(crate) fn load(scenario: &[&str], arguments: &[&str]) -> (Option<i32>, Value) {
    let quick = ["-c", "4", "-d", "400ms", "-w", "100ms"];
    measure(&[scenario, &quick, arguments].concat())
}

/// A run: its exit status, and its result.
pub(crate) fn measure(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = run(&[arguments, &["--format", "json"]].concat());
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), json)
}

/// Compares skyring's server of this protocol with itself, which takes CPU on both sides.
pub(crate) fn compare(protocol: &str) -> Value {
    let line = format!("{} serve {protocol} --set spin=0", env!("CARGO_BIN_EXE_skyring-load"));
    let quick = ["-c", "4", "-d", "1s", "--slice", "10ms", "-r", "1k", "--format", "json"];
    let sides = ["compare", "--protocol", protocol, "--a", "skyring", "--b", &line];
    let output = run(&[&sides[..], &quick].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert!(result["b"]["cpu_ns_per_request"].as_f64() > Some(0.0), "{result}");
    result
}

/// What the tool says, in one line, as it ends with this status.
pub(crate) fn refusal(status: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(status), 1), "{said}");
    said
}

/// Starts a server that hands each connection to `serve` on a thread of its own.
pub(crate) fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}
