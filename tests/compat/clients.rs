//! HTTP/2 clients that others wrote: curl and h2load, by prior knowledge.

use std::process::{Command, Stdio};
use std::sync::mpsc;

use skyring::net::TcpListener;
use skyring::prelude::*;

use crate::common::{config, deadline};
use crate::support::{Protocol, serve};

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
/// Whether a program is there; says loudly when a test has to be skipped.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed, and this test talks to it");
    }
    found
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server of HTTP/2, and its address.
fn start() -> (Handle, String) {
    start_with(|listener| drop(spawn(serve(listener, Protocol::Http2))))
}

fn start_with(serve: impl Fn(TcpListener) + Send + Sync + 'static) -> (Handle, String) {
    let (tell, told) = mpsc::channel();
    let engine = Engine::new(config()).setup(move |_| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        tell.send(listener.local().to_string()).expect("somebody asks");
        serve(listener);
        Ok(())
    });
    let handle = engine.start().expect("the engine starts");
    (handle, told.recv().expect("an address"))
}

#[test]
fn curl_speaks_http2() {
    if !has("curl") {
        return;
    }
    deadline(|| {
        let (_server, address) = start();
        let url = format!("http://{address}");
        let fixed = ["-sS", "--max-time", "20", "--http2-prior-knowledge"];
        let curl = |arguments: &[&str]| run("curl", &[&fixed[..], arguments].concat());
        let said = curl(&["-w", " %{http_version} %{http_code}", &url]);
        assert_eq!(said, "Hello, HTTP/2! 2 200");
        let body = "x".repeat(100_000);
        let file = std::env::temp_dir().join(format!("skyring-compat-{}", std::process::id()));
        std::fs::write(&file, &body).expect("a file");
        let data = format!("@{}", file.display());
        let echo = format!("{url}/echo");
        let back = curl(&["--data-binary", &data, &echo]);
        let _ = std::fs::remove_file(&file);
        assert!(back == body, "{} bytes came back", back.len());
    });
}

#[test]
fn h2load_finds_every_answer_right() {
    if !has("h2load") {
        return;
    }
    deadline(|| {
        let (_server, address) = start();
        let url = format!("http://{address}/");
        let report = run("h2load", &["-n", "5000", "-c", "10", "-m", "20", &url]);
        let all = "requests: 5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, \
                   0 errored, 0 timeout";
        assert!(report.contains(all), "{report}");
        assert!(report.contains("status codes: 5000 2xx"), "{report}");
    });
}

#[cfg(feature = "tls")]
#[test]
fn curl_and_the_server_agree_on_a_protocol_by_tls() {
    use skyring::tls::{Pem, Server};
    if !has("curl") {
        return;
    }
    deadline(|| {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        let pems = [made.cert.pem(), made.signing_key.serialize_pem()];
        let [certificate, key] = pems.map(|pem| Pem::bytes(pem.as_str()));
        let tls = Server::builder().certificate(certificate, key).alpn(["h2", "http/1.1"]);
        let tls = tls.build().expect("a certificate");
        let (_server, address) = start_with(move |listener| {
            drop(spawn(crate::support::serve_secure(listener, tls.clone())))
        });
        let url = format!("https://{address}/");
        let curl = |version: &str| {
            run("curl", &["-sSk", "--max-time", "20", version, "-w", " %{http_version}", &url])
        };
        assert_eq!(curl("--http2"), "Hello, HTTP/2! 2");
        assert_eq!(curl("--http1.1"), "Hello, HTTP/2! 1.1");
    });
}
