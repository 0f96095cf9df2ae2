//! Real sockets: skyring's server on another engine, and Python's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use skyring::http::Client;
use skyring::prelude::*;

use crate::common::{Server, config, deadline};
use crate::support::router;

/// Runs a client on a core of an engine of its own.
fn ask<F>(ask: impl FnOnce(Client) -> F + Send + 'static)
where
    F: Future<Output = Result<()>> + 'static,
{
    let handle = Engine::new(config()).start().expect("the engine starts");
    let asked = handle.run_on(0, move || async move { ask(Client::new()).await });
    asked.expect("it runs").unwrap_or_else(|error| panic!("{error}"));
    handle.stopper().stop();
    handle.join().expect("a clean end");
}

#[test]
fn skyrings_server_is_asked_over_real_sockets() {
    deadline(|| {
        let server = Server::of(Engine::new(config()).http("127.0.0.1:0", |_| router()));
        let base = format!("http://{}", server.address);
        ask(async move |client| {
            for round in 0..50 {
                assert_eq!(client.get(&base).await?.text().await?, "Hello, World!");
                let body = vec![b'x'; 300_000 + round];
                let mut echo = client.post(format!("{base}/echo")).body(body).await?;
                assert_eq!(echo.bytes().await?.len(), 300_000 + round);
                drop(client.get(format!("{base}/large")).await?);
                let mut lines = client.get(format!("{base}/lines")).await?;
                assert_eq!(lines.text().await?.lines().count(), 1000);
            }
            Ok(())
        });
        // An answer that was given up ended its connection, unless all of it had come; no other did.
        let accepted = server.metrics().accepted;
        assert!((2..=51).contains(&accepted), "{accepted} connections");
    });
}

const PYTHON: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        if self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in range(100):
                self.wfile.write(b"5\r\nhello\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/old":
            self.protocol_version = "HTTP/1.0"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"until the end")
            self.close_connection = True
        elif self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/chunks")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_error(404)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Python(Child);

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
/// Whether a program is there; says loudly when a test has to be skipped.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed, and this test talks to it");
    }
    found
}

#[test]
fn pythons_server_is_asked_over_real_sockets() {
    if !has("python3") {
        return;
    }
    deadline(|| {
        let command = Command::new("python3").args(["-c", PYTHON]).stdout(Stdio::piped()).spawn();
        let mut python = Python(command.expect("it starts"));
        let mut line = String::new();
        let stdout = python.0.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says its port");
        let base = format!("http://127.0.0.1:{}", line.trim());
        ask(async move |client| {
            assert_eq!(client.get(format!("{base}/chunks")).await?.bytes().await?.len(), 500);
            let mut moved = client.get(format!("{base}/moved")).await?;
            assert_eq!((moved.status(), moved.bytes().await?.len()), (200, 500));
            assert_eq!(client.get(format!("{base}/old")).await?.text().await?, "until the end");
            assert_eq!(client.get(format!("{base}/none")).await?.status(), 404);
            for len in [0_usize, 1, 100_000, 2_000_000] {
                let body: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
                let mut back = client.post(&base).body(body.clone()).await?;
                let reversed: Vec<u8> = body.into_iter().rev().collect();
                assert!(back.bytes().await?[..] == reversed[..], "{len}");
            }
            Ok(())
        });
        drop(python);
    });
}
