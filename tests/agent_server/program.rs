//! The program `skyring agent` and stock clients: netcat line by line, Python with u16 frames.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::common::deadline;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skyring");

/// `skyring agent` as a child process, killed when dropped.
struct Program {
    child: Child,
    port: String,
}

impl Program {
    fn start(options: &[&str]) -> Program {
        let mut child = Command::new(PROGRAM)
            .args(["agent", "--listen", "127.0.0.1:0"])
            .args(options)
            .env("SKYRING_CORES", "1")
            .env("SKYRING_PIN", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
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

    /// Stops it; what it said on stderr.
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut text).expect("text");
        assert!(self.child.wait().expect("a child").success());
        text
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

/// `skyring agent hash NAME` with this on stdin: success, stdout, stderr.
fn hash(name: &str, input: &str) -> (bool, String, String) {
    let mut child = Command::new(PROGRAM)
        .args(["agent", "hash", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may refuse the name before it reads.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path = std::env::temp_dir().join(format!("skyring-{name}-{}", std::process::id()));
        std::fs::write(&path, text).expect("written");
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn netcat_logs_in_line_by_line_with_an_account_of_the_program() {
    const TALK: &[(&str, &str)] = &[
        (r#"{"cmd":"echo","data":{"text":"hello"}}"#, r#"{"status":"ok","echo":"hello"}"#),
        (
            "hello",
            r#"{"status":"error","message":"Request is not JSON: expected value at line 1 column 1"}"#,
        ),
        (
            r#"{"cmd":"login","data":{"username":"admin","password":"wrong"}}"#,
            r#"{"status":"error","message":"Invalid credentials"}"#,
        ),
        (
            r#"{"cmd":"login","data":{"username":"admin","password":"a secret"}}"#,
            r#"{"status":"ok","message":"Login successful"}"#,
        ),
        (r#"{"cmd":"nonsense"}"#, r#"{"status":"error","message":"Unknown command"}"#),
        (r#"{"cmd":"quit"}"#, r#"{"status":"ok","message":"Goodbye"}"#),
    ];
    if !is_there("nc") {
        return;
    }
    deadline(|| {
        let (made, line, _) = hash("admin", "a secret\n");
        assert!(made && line.starts_with("admin:$argon2id$v=19$") && !line.contains("secret"));
        let file = File::new("netcat", &format!("# the only one\n\n{line}"));
        let program = Program::start(&["--framing", "line", "--accounts", file.path()]);
        let mut client = Command::new("nc")
            .args(["127.0.0.1", &program.port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("netcat starts");
        let mut input = client.stdin.take().expect("piped");
        let mut output = BufReader::new(client.stdout.take().expect("piped"));
        let mut read = || {
            let mut line = String::new();
            output.read_line(&mut line).expect("answered");
            line
        };
        assert_eq!(read(), "{\"status\":\"ok\",\"message\":\"Welcome to server\"}\n");
        for (request, answer) in TALK {
            input.write_all(format!("{request}\n").as_bytes()).expect("written");
            assert_eq!(read(), format!("{answer}\n"), "{request}");
        }
        drop(input); // netcat waits for that, too
        assert_eq!(read(), "", "nothing behind the last answer");
        let _ = client.kill();
        client.wait().expect("waited for");
        assert_eq!(program.stop(), "", "nothing to complain of");
    });
}

#[test]
fn a_python_script_holds_the_conversation_of_the_tutorial() {
    const SCRIPT: &str = r#"
import json, socket, struct, sys

def receive(s, count):
    data = b''
    while len(data) < count:
        piece = s.recv(count - len(data))
        assert piece, 'the end'
        data += piece
    return data

def read(s):
    return json.loads(receive(s, struct.unpack('>H', receive(s, 2))[0]))

def pack(request):
    text = json.dumps(request).encode()
    return struct.pack('>H', len(text)) + text

with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20) as s:
    assert read(s) == {'status': 'ok', 'message': 'Welcome to server'}
    requests = [
        {'cmd': 'login', 'data': {'username': 'admin', 'password': 'secret'}},
        {'cmd': 'echo', 'data': {'text': 'snowman \u2603'}},
        {'cmd': 'dance'},
        {'cmd': 'quit'},
    ]
    s.sendall(b''.join(map(pack, requests)))
    assert read(s) == {'status': 'error', 'message': 'Invalid credentials'}
    assert read(s) == {'status': 'ok', 'echo': 'snowman \u2603'}
    assert read(s) == {'status': 'error', 'message': 'Unknown command'}
    assert read(s) == {'status': 'ok', 'message': 'Goodbye'}
    assert s.recv(1) == b''
"#;
    if !is_there("python3") {
        return;
    }
    deadline(|| {
        let program = Program::start(&[]);
        let output = Command::new("python3").args(["-c", SCRIPT, &program.port]).output();
        let output = output.expect("python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = program.stop();
        assert!(said.contains("every login is refused: no --accounts FILE is given"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    });
}

#[test]
fn what_the_program_cannot_use_is_one_clear_line() {
    deadline(|| {
        let file = File::new("bad", "# people\nadmin:secret\n");
        let run = |options: &[&str]| {
            let output = Command::new(PROGRAM).arg("agent").args(options).output();
            let output = output.expect("the program starts");
            assert_eq!(output.status.code(), Some(2), "{options:?}");
            assert!(output.stdout.is_empty(), "{options:?}");
            String::from_utf8(output.stderr).expect("text")
        };
        let text = run(&["--accounts", file.path()]);
        let begin = format!("skyring: {}:2: ", file.path());
        assert!(text.starts_with(&begin) && text.lines().count() == 1, "{text}");
        assert!(!text.contains("secret"), "{text}");
        let text = run(&["--accounts", "/nonexistent/accounts"]);
        assert!(text.starts_with("skyring: cannot read the accounts in /nonexistent/"), "{text}");
        for framing in ["raw", "fixed:64", "xml"] {
            let text = run(&["--framing", framing]);
            assert!(text.contains("varint") && text.contains("line"), "{text}");
        }
    });
}

#[test]
fn an_account_is_made_from_the_first_line_of_stdin() {
    deadline(|| {
        for (name, password, why) in [
            ("", "x\n", "bad name"),
            ("a:b", "x\n", "bad name"),
            ("admin", "", "empty"),
            ("admin", "\n", "empty"),
            ("admin", &*"x".repeat(5000), "are the most"),
        ] {
            let (made, stdout, stderr) = hash(name, password);
            assert!(!made && stdout.is_empty() && stderr.contains(why), "{name:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    });
}
