//! The Autobahn suite, by kosoku: sections 1 to 7 and 10 always, the long ones when
//! `AUTOBAHN=all` asks for them. docs/CHECKS.md has the results.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use skyring::prelude::*;
use skyring::websocket::{self, Limits};

use crate::common::{Server, config};
use crate::support::{MESSAGE_BYTES_MAX, deflate, router, serve_echo};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/websocket/autobahn.py");
const SHORT: &str = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*";

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

fn start(arguments: &[&str]) -> Child {
    Command::new("python3")
        .arg(SCRIPT)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 was there before")
}

fn finish(mut child: Child, mut output: impl Read) {
    let mut text = String::new();
    output.read_to_string(&mut text).expect("text");
    println!("{text}");
    assert!(child.wait().expect("it ends").success(), "{text}");
}

#[test]
fn our_server_passes() {
    if !has_kosoku() {
        return;
    }
    let server = Server::of(Engine::new(roomy()).http("127.0.0.1:0", |_| router()));
    let mut child = start(&["server", &server.address.to_string(), &cases()]);
    let output = child.stdout.take().expect("a pipe");
    finish(child, output);
    server.stop();
}

#[test]
fn our_client_passes() {
    if !has_kosoku() {
        return;
    }
    let mut child = start(&["client", &cases()]);
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut address = String::new();
    output.read_line(&mut address).expect("the address comes first");
    let base = format!("ws://{}", address.trim());
    let (told, tells) = mpsc::channel();
    let engine = Engine::new(roomy()).setup(move |_| {
        let (base, told) = (base.clone(), told.clone());
        spawn(async move { told.send(run_cases(&base).await) });
        Ok(())
    });
    let engine = engine.start().expect("it starts");
    let ran = tells.recv().expect("it ends");
    engine.stopper().stop();
    engine.join().expect("a clean end");
    ran.unwrap_or_else(|error| panic!("{error}"));
    finish(child, output);
}

/// Asks how many cases there are, echoes in each, and says that all are done.
async fn run_cases(base: &str) -> Result<()> {
    let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
    let counting = websocket::connect(format!("{base}/getCaseCount")).await?;
    let count = counting.read().await?.ok_or("no count")?;
    let count: u32 = count.as_text().ok_or("no text")?.parse().map_err(|_| "no number")?;
    counting.close(1000, "").await?;
    for case in 1..=count {
        let url = format!("{base}/runCase?case={case}&agent=skyring");
        let ws = websocket::connect(url).limits(limits).deflate(deflate()).await?;
        // Most cases end by what they test.
        let _ = serve_echo(ws.clone()).await;
        let _ = ws.close(1000, "").await;
    }
    let done = websocket::connect(format!("{base}/updateReports?agent=skyring")).await?;
    while let Ok(Some(_)) = done.read().await {} // the server ends without a word
    Ok(())
}
