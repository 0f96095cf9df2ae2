//! The program `skyring chat` and stock clients: two netcats line by line, Python with u16 frames.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::deadline;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skyring");

/// `skyring chat` as a child process, killed when dropped.
struct Program {
    child: Child,
    port: String,
}

impl Program {
    fn start(options: &[&str]) -> Program {
        let mut child = Command::new(PROGRAM)
            .args(["chat", "--listen", "127.0.0.1:0"])
            .args(options)
            .env("SKYRING_CORES", "2")
            .env("SKYRING_PIN", "off")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a first line");
        let address = line.strip_prefix("listening on 127.0.0.1:").expect(&line);
        let port = address.split_once(' ').expect(&line).0.to_owned();
        Program { child, port }
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("a child").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a stock client is there; a test without it says so and passes.
fn is_there(tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
    let there = found.is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: {tool} is not installed");
    }
    there
}

/// A person at a terminal.
struct Netcat {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Netcat {
    fn connect(program: &Program) -> Netcat {
        let mut child = Command::new("nc")
            .args(["127.0.0.1", &program.port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("netcat starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Netcat { child, input, output }
    }

    fn types(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).expect("written");
    }

    /// The next line, as it is; the time of day is any.
    fn reads(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("answered");
        let mut object: Value = serde_json::from_str(&line).expect(&line);
        for field in ["time", "at"] {
            if let Some(time) = object.get_mut(field) {
                assert!(time.as_str().is_some_and(|time| time.contains(':')), "{line}");
                *time = "-".into();
            }
        }
        let expected: Value = serde_json::from_str(expected).expect(expected);
        assert_eq!(object, expected);
    }
}

impl Drop for Netcat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_people_with_netcat_chat() {
    if !is_there("nc") {
        return;
    }
    deadline(|| {
        let program = Program::start(&["--framing", "line"]);
        let mut ann = Netcat::connect(&program);
        let help = "JOIN room, MSG text, LEAVE, NICK name, WHO, LIST, WHISPER name text; \
                    try: JOIN lobby";
        ann.reads(&format!(r#"{{"type":"welcome","user":"Guest1","message":"{help}"}}"#));
        ann.types("NICK ann");
        ann.reads(
            r#"{"type":"nick_change","old_name":"Guest1","new_name":"ann","message":"Guest1 is now known as ann"}"#,
        );
        ann.types("JOIN lobby");
        ann.reads(r#"{"type":"join","room":"lobby","user":"ann","message":"ann joined the room"}"#);
        ann.reads(r#"{"type":"room_joined","room":"lobby","users":["ann"],"count":1,"history":0}"#);
        ann.types("MSG is anybody here?");
        ann.reads(r#"{"type":"sent","id":1,"time":"-","at":"-"}"#);

        let mut bob = Netcat::connect(&program);
        bob.reads(&format!(r#"{{"type":"welcome","user":"Guest2","message":"{help}"}}"#));
        bob.types("JOIN lobby");
        let join =
            r#"{"type":"join","room":"lobby","user":"Guest2","message":"Guest2 joined the room"}"#;
        bob.reads(join);
        ann.reads(join);
        bob.reads(
            r#"{"type":"room_joined","room":"lobby","users":["ann","Guest2"],"count":2,"history":1}"#,
        );
        bob.reads(
            r#"{"type":"message","id":1,"user":"ann","text":"is anybody here?","time":"-","at":"-"}"#,
        );
        bob.types("MSG I am");
        bob.reads(r#"{"type":"sent","id":2,"time":"-","at":"-"}"#);
        ann.reads(r#"{"type":"message","id":2,"user":"Guest2","text":"I am","time":"-","at":"-"}"#);
        bob.types("NICK Ann");
        bob.reads(r#"{"type":"error","code":"name_taken","message":"Ann is taken"}"#);
        bob.types("WHISPER ann psst");
        bob.reads(r#"{"type":"whispered","to":"ann"}"#);
        ann.reads(r#"{"type":"whisper","user":"Guest2","text":"psst","time":"-","at":"-"}"#);
        bob.types("hello?");
        bob.reads(
            r#"{"type":"error","code":"unknown_command","message":"unknown command; there are JOIN room, MSG text, LEAVE, NICK name, WHO, WHO room, LIST, WHISPER name text"}"#,
        );
        drop(bob);
        ann.reads(
            r#"{"type":"leave","room":"lobby","user":"Guest2","message":"Guest2 left the room"}"#,
        );
        drop(ann);
        program.stop();
    });
}

#[test]
fn a_python_script_speaks_the_tutorials_protocol() {
    if !is_there("python3") {
        return;
    }
    const SCRIPT: &str = r#"
import json, socket, struct, sys

class Client:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
        self.file = self.socket.makefile("rb")
        self.name = self.hear("welcome")["user"]

    def say(self, command, body=None):
        frame = (command if body is None else command + "\n" + body).encode()
        self.socket.sendall(struct.pack(">H", len(frame)) + frame)

    def hear(self, kind):
        (length,) = struct.unpack(">H", self.file.read(2))
        thing = json.loads(self.file.read(length))
        assert thing["type"] == kind, thing
        return thing

ann, bob = Client(), Client()
for client in ann, bob:
    client.say("JOIN", "lobby")
    client.hear("join")
    client.hear("room_joined")
ann.hear("join")
bob.say("MSG", "hello\nall, Grüße")
message, sent = ann.hear("message"), bob.hear("sent")
assert message["text"] == "hello\nall, Grüße" and message["user"] == bob.name, message
assert message["id"] == sent["id"] == 1 and len(message["time"]) == 8, (message, sent)
bob.say("LEAVE")
bob.hear("room_left")
assert ann.hear("leave")["user"] == bob.name
bob.say("MSG", "anybody?")
assert bob.hear("error")["code"] == "no_room"
"#;
    deadline(|| {
        let program = Program::start(&[]);
        let status = Command::new("python3").args(["-c", SCRIPT, &program.port]).status();
        assert!(status.expect("python starts").success());
        program.stop();
    });
}

#[test]
fn a_framing_without_lengths_is_refused_in_one_line() {
    for framing in ["raw", "fixed:64"] {
        let output = Command::new(PROGRAM)
            .args(["chat", "--framing", framing])
            .output()
            .expect("the program starts");
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(
            !output.status.success() && text.contains("use u16, u32, varint or line"),
            "{text}"
        );
    }
}
