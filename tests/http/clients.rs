//! Clients that others wrote: curl, Python's http.client, wrk and h2load.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::deadline;
use crate::support::start;

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
/// Whether a program is there; says loudly when a test has to be skipped.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed, and this test talks to it");
    }
    found
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_gets_posts_and_keeps_its_connection() {
    if !has("curl") {
        return;
    }
    deadline(|| {
        let server = start();
        let base = format!("http://{}", server.address);
        let curl = |arguments: &[&str], path: &str, input: &[u8]| {
            let url = format!("{base}{path}");
            let mut all = vec!["-sS", "--max-time", "20"];
            all.extend_from_slice(arguments);
            all.push(&url);
            run("curl", &all, input)
        };
        assert_eq!(curl(&[], "/", b""), "Hello, World!");
        assert_eq!(curl(&["-0"], "/lines", b"").lines().count(), 1000);
        let head = curl(&["-I"], "/", b"");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-length: 13\r\n"), "{head}");
        assert_eq!(curl(&["-d", "hello"], "/length", b""), "5 ");
        let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", "@-"];
        assert_eq!(curl(&chunked, "/length", &vec![b'x'; 700_000]), "700000 ");
        let expect = ["-H", "Expect: 100-continue", "--data-binary", "@-"];
        assert_eq!(curl(&expect, "/length", &vec![b'x'; 300_000]), "300000 ");
        let sent = curl(&["--data-binary", "@-"], "/echo", b"\0binary\r\n\r\n");
        assert_eq!(sent, "\0binary\r\n\r\n");
        let body = curl(&["-w", " %{http_code} %{num_connects}"], "/large", b"");
        assert!(body.ends_with("x 200 1"), "{}", &body[body.len() - 20..]);
        let again = format!("{base}/rooms/1/users/2");
        let both = curl(&["-w", "%{num_connects} ", &again], "/rooms/3/users/4", b"");
        assert_eq!(both, "1 21 3 40 ", "one connection for both");
        assert_eq!(curl(&["-w", "%{http_code}", "-o", "/dev/null"], "/nothing", b""), "404");
        let refused =
            curl(&["-w", "%{http_code}", "-o", "/dev/null", "--request-target", "/a b"], "/", b"");
        assert_eq!(refused, "400");
    });
}

const PYTHON: &str = r#"
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=20)
def ask(*a, **k):
    c.request(*a, **k)
    r = c.getresponse()
    return r.status, r.read(), r
assert ask("GET", "/")[:2] == (200, b"Hello, World!")
sock = c.sock
assert ask("POST", "/length", body=b"hello")[:2] == (200, b"5 ")
assert ask("POST", "/length", body=iter([b"a" * 1000, b"b" * 5000]), encode_chunked=True,
           headers={"Transfer-Encoding": "chunked"})[:2] == (200, b"6000 ")
status, body, r = ask("GET", "/lines")
assert status == 200 and body.count(b"\n") == 1000 and r.chunked
assert ask("HEAD", "/lines")[:2] == (200, b"")
assert ask("GET", "/panics")[0] == 500
assert ask("OPTIONS", "*")[0] == 204
assert c.sock is sock, "one connection for all of them"
print("passed")
"#;

#[test]
fn pythons_http_client_is_served_on_one_connection() {
    if !has("python3") {
        return;
    }
    deadline(|| {
        let server = start();
        let address = server.address.to_string();
        assert_eq!(run("python3", &["-c", PYTHON, &address], b""), "passed\n");
        assert_eq!(server.metrics().accepted, 1);
    });
}

#[test]
fn wrk_finds_no_error() {
    if !has("wrk") {
        return;
    }
    deadline(|| {
        let server = start();
        let url = format!("http://{}/", server.address);
        let report = run("wrk", &["-t1", "-c16", "-d1s", &url], b"");
        assert!(report.contains("Requests/sec:"), "{report}");
        assert!(!report.contains("Socket errors"), "{report}");
        assert!(!report.contains("Non-2xx"), "{report}");
        let metrics = server.metrics();
        assert_eq!((metrics.http_refused, metrics.panics), (0, 0));
    });
}

#[test]
fn h2load_speaks_http1_and_finds_every_answer_right() {
    if !has("h2load") {
        return;
    }
    deadline(|| {
        let server = start();
        let url = format!("http://{}/", server.address);
        // -m: so many requests at once on each connection, pipelined.
        let report = run("h2load", &["--h1", "-n5000", "-c10", "-m8", &url], b"");
        assert!(report.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
        assert_eq!(server.metrics().http_requests, 5000);
    });
}
