//! `skyring-load serve` as its parent sees it: where it listens, and what it says on stderr.

use std::io::{BufRead, BufReader, Read};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_the_engine_says_is_on_stderr_by_its_knob() {
    let child = Command::new(env!("CARGO_BIN_EXE_skyring-load"))
        .args(["serve", "skyring", "--set", "log=debug", "--set", "pin=off"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    let mut server = Server(child);
    let mut line = String::new();
    let stdout = server.0.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a first line");
    let address = line.split_whitespace().nth(2).expect("listening on ADDRESS");
    let mut client = TcpStream::connect(address).expect("it listens");
    client.shutdown(Shutdown::Write).expect("open");
    client.read_to_end(&mut Vec::new()).expect("an orderly end");
    let mut log = BufReader::new(server.0.stderr.take().expect("piped"));
    let mut said = String::new();
    log.read_line(&mut said).expect("text");
    assert!(said.contains("DEBUG skyring::") && said.contains("disconnected"), "{said}");
}
