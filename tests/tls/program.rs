//! The program: `skyring echo --tls`, its knobs, and SIGHUP.
#![cfg(feature = "servers")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::deadline;
use crate::support::{Authority, Folder, peer, run, trust};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skyring");

/// `skyring echo --tls`, killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_reads_its_files_and_reads_them_anew_on_sighup() {
    deadline(|| {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let folder = Folder::new();
        let write = |authority: &Authority| {
            let issued = authority.issue(&["localhost"]);
            let certificate = folder.file("Cert.pem", &issued.certificate);
            (certificate, folder.file("Key.pem", &issued.key))
        };
        let (certificate, key) = write(&old);
        let mut child = Command::new(PROGRAM)
            .args(["echo", "--tls", "--listen", "127.0.0.1:0"])
            .env("SKYRING_CORES", "1")
            .env("SKYRING_PIN", "off")
            .env("SKYRING_TLS_CERT", &certificate)
            .env("SKYRING_TLS_KEY", &key)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("piped");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
        let program = Program(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a first line");
        assert!(line.contains("(echo, raw, TLS, cores 1)"), "{line}");
        let address: SocketAddr =
            line.split_whitespace().nth(2).expect(&line).parse().expect("an address");
        let echoes = |authority: &Authority| {
            let mut peer = peer(address, trust(authority));
            peer.write_all(b"hello").expect("written");
            peer.read_exact(&mut [0; 5]).expect("answered");
        };
        echoes(&old);
        let hangup = || {
            kill_process(Pid::from_child(&program.0), Signal::HUP).expect("it runs");
        };
        let wrong = folder.file("Key.pem", "no key\n");
        hangup();
        let line = said.next().expect("a line").expect("text");
        assert!(line.contains("stay as they were") && line.contains(&wrong), "{line}");
        echoes(&old);
        write(&new);
        hangup();
        assert_eq!(
            said.next().expect("a line").expect("text"),
            "skyring: certificates are read anew"
        );
        echoes(&new);
    });
}

#[test]
fn the_program_says_what_it_misses() {
    let (passed, _, errors) = run("env", &[PROGRAM, "echo", "--tls"], b"");
    assert!(!passed && errors.contains("SKYRING_TLS_CERT"), "{errors}");
    let half = ["SKYRING_TLS_CERT=/cert.pem", PROGRAM, "echo", "--tls"];
    let (passed, _, errors) = run("env", &half, b"");
    assert!(!passed && errors.contains("SKYRING_TLS_KEY"), "{errors}");
    assert!(errors.contains("set both, or none"), "{errors}");
    let missing = ["SKYRING_TLS_CERT=/No.pem", "SKYRING_TLS_KEY=/No.key", PROGRAM, "echo", "--tls"];
    let (passed, _, errors) = run("env", &missing, b"");
    assert!(!passed && errors.contains("cannot read /No.pem"), "{errors}");
}
