//! The Autobahn suite, by kosoku: sections 1 to 7 and 10 always, the long ones when
//! `AUTOBAHN=all` asks for them. docs/CHECKS.md has the results.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use skyring::prelude::*;
use skyring::websocket::{self, Deflate, Limits};

use crate::common::{Server, config};
use crate::support::{MESSAGE_BYTES_MAX, deflate, router, serve_echo};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/websocket/autobahn.py");
const SHORT: &str = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*";

/// Cases in which a server of the suite serves only clients that offer to forget.
const FORGETS: &str = "13.2.*,13.5.*,13.6.*";

/// Room for the longest message on its way back.
fn roomy() -> Config {
    config().send_queue_bytes_max(2 * MESSAGE_BYTES_MAX)
}

/// The cases to run.
fn cases() -> String {
    match std::env::var("AUTOBAHN") {
        Ok(all) if all == "all" => format!("{SHORT},9.*,12.*,13.*"),
        Ok(cases) if !cases.is_empty() => cases,
        _ => SHORT.to_owned(),
    }
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn has_kosoku() -> bool {
    let found = Command::new("python3").args(["-c", "import kosoku"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: python3 has no kosoku (pip install kosoku), and this test runs it");
    }
    found
}

/// The suite at work; it ends with the test, however that goes.
struct Suite(Child);

impl Suite {
    fn start(arguments: &[&str]) -> (Suite, ChildStdout) {
        let mut command = Command::new("python3");
        command.arg(SCRIPT).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 was there before");
        let output = child.stdout.take().expect("a pipe");
        (Suite(child), output)
    }

    #[expect(clippy::print_stdout, reason = "the table is what one runs it for")]
    fn finish(mut self, mut output: impl Read) {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("text");
        println!("{text}");
        assert!(self.0.wait().expect("it ends").success(), "{text}");
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it has ended, unless the test fails
    }
}

#[test]
fn our_server_passes() {
    if !has_kosoku() {
        return;
    }
    let server = Server::of(Engine::new(roomy()).http("127.0.0.1:0", |_| router()));
    let (suite, output) = Suite::start(&["server", &server.address.to_string(), &cases()]);
    suite.finish(output);
    server.stop();
}

#[test]
fn our_client_passes() {
    if has_kosoku() {
        drive_client(&cases(), deflate());
    }
}

/// These cases are for clients that can forget, and say so.
#[test]
fn our_client_passes_when_it_forgets() {
    let is_all = std::env::var("AUTOBAHN").is_ok_and(|all| all == "all");
    if is_all && has_kosoku() {
        let deflate = Deflate { client_no_context_takeover: true, ..deflate() };
        drive_client(FORGETS, deflate);
    }
}

fn drive_client(cases: &str, deflate: Deflate) {
    let excluded = if deflate.client_no_context_takeover { "" } else { FORGETS };
    let (suite, output) = Suite::start(&["client", cases, excluded]);
    let mut output = BufReader::new(output);
    let mut address = String::new();
    output.read_line(&mut address).expect("the address comes first");
    let base = format!("ws://{}", address.trim());
    let (told, tells) = mpsc::channel();
    let engine = Engine::new(roomy()).setup(move |_| {
        let (base, told) = (base.clone(), told.clone());
        spawn(async move { told.send(run_cases(&base, deflate).await) });
        Ok(())
    });
    let engine = engine.start().expect("it starts");
    let ran = tells.recv().expect("it ends");
    engine.stopper().stop();
    engine.join().expect("a clean end");
    ran.unwrap_or_else(|error| panic!("{error}"));
    suite.finish(output);
}

/// Asks how many cases there are, echoes in each, and says that all are done.
async fn run_cases(base: &str, deflate: Deflate) -> Result<()> {
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    let counting = websocket::connect(format!("{base}/getCaseCount")).await?;
    let count = counting.read().await?.ok_or("no count")?;
    let count: u32 = count.as_text().ok_or("no text")?.parse().map_err(|_| "no number")?;
    counting.close(1000, "").await?;
    for case in 1..=count {
        let url = format!("{base}/runCase?case={case}&agent=skyring");
        let ws = websocket::connect(url).limits(limits).deflate(deflate).await?;
        // Most cases end by what they test.
        let _ = serve_echo(ws.clone()).await;
        let _ = ws.close(1000, "").await;
    }
    let done = websocket::connect(format!("{base}/updateReports?agent=skyring")).await?;
    while let Ok(Some(_)) = done.read().await {} // the server ends without a word
    Ok(())
}
