//! Two people in a browser: the page, used by keyboard (tests/web/page.cjs).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::deadline;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skyring");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/page.cjs");
/// Where Debian's package puts it, and where `npm install --prefix target/npm playwright-core` does.
const CHROMIUM: &str = "/usr/bin/chromium";
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules");

#[test]
fn two_people_chat_in_a_browser_by_keyboard() {
    let playwright = Path::new(MODULES).join("playwright-core");
    if !Path::new(CHROMIUM).exists() || !playwright.exists() {
        let text = "SKIPPED: the browser's test needs chromium (Debian's package) and \
             playwright-core (npm install --prefix target/npm playwright-core)";
        eprintln!("{text}");
        return;
    }
    deadline(|| {
        let mut server = Command::new(PROGRAM)
            .args(["web", "--listen", "127.0.0.1:0"])
            .env("SKYRING_CORES", "2")
            .env("SKYRING_PIN", "off")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let out = server.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a first line");
        let address = line.strip_prefix("listening on ").expect(&line);
        let address = address.split(' ').next().expect("an address");
        let url = format!("http://{address}/");
        let browsed = Command::new("node")
            .arg(SCRIPT)
            .args([&url, CHROMIUM])
            .env("NODE_PATH", MODULES)
            .output()
            .expect("node is there, since npm was");
        kill_process(Pid::from_child(&server), Signal::TERM).expect("it runs");
        let ended = server.wait().expect("a child");
        let told = String::from_utf8_lossy(&browsed.stdout);
        let wrong = String::from_utf8_lossy(&browsed.stderr);
        assert!(browsed.status.success() && told.ends_with("all is well\n"), "{told}{wrong}");
        assert!(ended.success());
    });
}
