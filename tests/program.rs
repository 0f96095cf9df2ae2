//! Bad weather for the program `skyring echo`: signals, no descriptors left, stock clients.
#![cfg(feature = "servers")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{connect, deadline, eventually, is_ended, pattern, read_end, read_u16, u16_frame};
use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skyring");

/// `skyring echo` as a child process, killed when dropped.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(framing: &str, knobs: &[(&str, &str)]) -> Program {
        Program::of(Command::new(PROGRAM), framing, knobs)
    }

    fn of(mut command: Command, framing: &str, knobs: &[(&str, &str)]) -> Program {
        command.args(["echo", "--listen", "127.0.0.1:0", "--framing", framing]);
        command.env("SKYRING_CORES", "1").env("SKYRING_PIN", "off");
        command.envs(knobs.iter().copied()).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a first line");
        let rest = line.strip_prefix("listening on ").expect(&line);
        let (address, what) = rest.split_once(' ').expect(&line);
        assert!(what.starts_with('(') && what.ends_with(")\n"), "{line}");
        let address: SocketAddr = address.parse().expect(&line);
        assert_ne!(address.port(), 0);
        Program { child, address }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// The descriptors that it holds.
    fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).expect("it runs").count()
    }

    /// It ends by itself, with this status.
    fn ends_with(mut self, code: i32) {
        eventually("the program ends", || {
            self.child.try_wait().expect("a child").is_some_and(|status| {
                assert_eq!(status.code(), Some(code), "{status}");
                true
            })
        });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_served(stream: &mut TcpStream, seed: usize) {
    stream.write_all(&u16_frame(&pattern(seed, 300))).expect("written");
    assert_eq!(read_u16(stream).expect("answered"), pattern(seed, 300));
}

#[test]
fn sigterm_and_sigint_drain_and_exit_with_zero() {
    deadline(|| {
        for signal in [Signal::TERM, Signal::INT] {
            let program = Program::start("u16", &[]);
            let mut stream = connect(program.address);
            is_served(&mut stream, 1);
            program.signal(signal);
            assert_eq!(read_end(&mut stream).expect("an orderly end"), b"");
            drop(stream);
            program.ends_with(0);
        }
    });
}

#[test]
fn a_second_signal_ends_at_once_what_is_left() {
    deadline(|| {
        let program = Program::start("u16", &[("SKYRING_DRAIN", "1h")]);
        let mut stream = connect(program.address);
        // Answers that it does not read keep the server from its end.
        let frame = u16_frame(&pattern(1, 60_000));
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        for _ in 0..120 {
            if stream.write_all(&frame).is_err() {
                break;
            }
        }
        program.signal(Signal::TERM);
        eventually("it accepts no more", || TcpStream::connect(program.address).is_err());
        program.signal(Signal::TERM);
        program.ends_with(0);
        let _ = stream.read_to_end(&mut Vec::new());
    });
}

#[test]
fn without_descriptors_it_waits_and_goes_on() {
    const LIMIT: usize = 100;
    // Others hold so many that the limit is reached below SKYRING_CONNECTIONS_MAX.
    const SCRIPT: &str = "ulimit -n 100
        for ((fd = 25; fd < 95; fd++)); do eval \"exec $fd</dev/null\"; done
        exec \"$0\" \"$@\"";
    deadline(|| {
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT, PROGRAM]);
        let log = std::env::temp_dir().join(format!("skyring-accepts-{}", std::process::id()));
        command.stderr(std::fs::File::create(&log).expect("a file"));
        let program = Program::of(command, "u16", &[("SKYRING_LOG", "info")]);
        let free = LIMIT - program.descriptors();
        assert!((12..28).contains(&free), "{free} descriptors are free");
        let mut early: Vec<TcpStream> = (0..10).map(|_| connect(program.address)).collect();
        early.iter_mut().enumerate().for_each(|(n, stream)| is_served(stream, n));
        // A flood: the kernel takes these in the backlog, the server cannot.
        let mut flood: Vec<TcpStream> = (0..60).map(|_| connect(program.address)).collect();
        for (n, stream) in flood.iter_mut().enumerate() {
            stream.write_all(&u16_frame(&pattern(n, 300))).expect("written");
        }
        eventually("it has none left", || program.descriptors() >= LIMIT);
        for round in 0..5 {
            early.iter_mut().enumerate().for_each(|(n, stream)| is_served(stream, n + round));
        }
        // One after the other gets a place as others go.
        for (n, stream) in flood.iter_mut().enumerate() {
            assert_eq!(read_u16(stream).expect("answered"), pattern(n, 300), "client {n}");
            stream.shutdown(Shutdown::Write).expect("ended");
            assert!(is_ended(stream));
        }
        drop(flood);
        early.iter_mut().enumerate().for_each(|(n, stream)| is_served(stream, n));
        is_served(&mut connect(program.address), 1);
        program.signal(Signal::TERM);
        drop(early);
        program.ends_with(0);
        let text = std::fs::read_to_string(&log).expect("a log");
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        let (failed, again) = (count("accept failed"), count("accepting again"));
        assert!((1..12).contains(&failed), "the first, the second, the fourth ...: {text}");
        assert!((1..=failed).contains(&again), "and when it is over: {text}");
        std::fs::remove_file(&log).expect("it is there");
    });
}

#[test]
fn a_client_process_killed_in_mid_frame_harms_nobody() {
    deadline(|| {
        let program = Program::start("u16", &[]);
        let mut innocent = connect(program.address);
        is_served(&mut innocent, 9);
        let before = program.descriptors();
        // Bash's own sockets: half a frame, then a kill.
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; printf '\\x10\\x00half' >&3; echo sent; sleep 60",
            program.address.port()
        );
        for n in 0..5 {
            let mut client = Command::new("bash")
                .args(["-c", &script])
                .stdout(Stdio::piped())
                .spawn()
                .expect("bash starts");
            let mut line = String::new();
            BufReader::new(client.stdout.take().expect("piped"))
                .read_line(&mut line)
                .expect("read");
            assert_eq!(line, "sent\n");
            client.kill().expect("killed");
            client.wait().expect("waited for");
            is_served(&mut innocent, n);
        }
        eventually("its sockets are gone", || program.descriptors() == before);
        program.signal(Signal::TERM);
        drop(innocent);
        program.ends_with(0);
    });
}

/// With this log, and a place for so many of an address; its stderr piped.
fn logging(level: &str, places: &str) -> Program {
    let mut command = Command::new(PROGRAM);
    command.stderr(Stdio::piped());
    let knobs = [("SKYRING_LOG", level), ("SKYRING_CONNECTIONS_PER_IP_MAX", places)];
    Program::of(command, "u16", &knobs)
}

/// Has a connection refused, which the log warns of.
fn is_refused(program: &Program) {
    assert!(is_ended(&mut connect(program.address)));
}

/// What a server with a log of this level says in a run in which it refuses one connection.
fn said(level: &str) -> String {
    let mut program = logging(level, "1");
    let mut stderr = program.child.stderr.take().expect("piped");
    let mut stream = connect(program.address);
    is_served(&mut stream, 1);
    is_refused(&program);
    program.signal(Signal::TERM);
    drop(stream);
    program.ends_with(0);
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn what_the_engine_warns_of_is_a_line_on_stderr() {
    deadline(|| {
        let text = said("warn");
        assert_eq!(text.lines().count(), 1, "{text}");
        let (time, rest) = text.split_once(' ').expect("a time");
        assert!(time.starts_with("20") && time.contains('T') && time.ends_with('Z'), "{text}");
        assert_eq!(
            rest.trim_start(),
            "WARN skyring::net::porter: connection refused peer=127.0.0.1 told=too many \
             connections from your address so_far=1\n"
        );
    });
}

#[test]
fn below_its_level_the_log_is_silent() {
    deadline(|| ["error", "off"].iter().for_each(|level| assert_eq!(said(level), "", "{level}")));
}

#[test]
fn a_closed_stderr_harms_nobody() {
    deadline(|| {
        let mut program = logging("trace", "1");
        drop(program.child.stderr.take());
        let mut stream = connect(program.address);
        for n in 0..3 {
            is_served(&mut stream, n);
            is_refused(&program);
        }
        program.signal(Signal::TERM);
        drop(stream);
        program.ends_with(0);
    });
}

#[test]
fn a_stderr_that_nobody_reads_costs_lines_and_no_client_waits() {
    deadline(|| {
        let mut program = logging("debug", "unlimited");
        let stderr = program.child.stderr.take().expect("piped");
        // Two lines each, some hundred kilobytes: more than the pipe and the queue hold.
        for n in 0..1200 {
            let mut stream = connect(program.address);
            is_served(&mut stream, n);
            stream.shutdown(Shutdown::Write).expect("ended");
            assert!(is_ended(&mut stream));
        }
        is_served(&mut connect(program.address), 1);
        let mut lines = BufReader::new(stderr).lines();
        let mut next = || lines.next().expect("a line").expect("text");
        while !next().ends_with("lines of the log were lost: stderr is slow") {}
        program.signal(Signal::TERM);
        drop(lines);
        program.ends_with(0);
    });
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

#[test]
fn netcat_talks_to_it() {
    if !is_there("nc") {
        return;
    }
    deadline(|| {
        let program = Program::start("line", &[]);
        let port = program.address.port().to_string();
        let mut client = Command::new("nc")
            .args(["127.0.0.1", &port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("netcat starts");
        let mut input = client.stdin.take().expect("piped");
        let mut output = BufReader::new(client.stdout.take().expect("piped"));
        for line in ["hello\n", "\n", "world\n"] {
            input.write_all(line.as_bytes()).expect("written");
            let mut answer = String::new();
            output.read_line(&mut answer).expect("answered");
            assert_eq!(answer, line);
        }
        // It hears of the end of the server, whatever its own manners.
        program.signal(Signal::TERM);
        let _ = client.kill();
        client.wait().expect("waited for");
        program.ends_with(0);
    });
}

#[test]
fn a_python_socket_talks_to_it() {
    if !is_there("python3") {
        return;
    }
    const SCRIPT: &str = "
import socket, struct, sys
with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20) as s:
    payload = bytes(range(256)) * 200
    s.sendall(struct.pack('>I', len(payload)) + payload + struct.pack('>I', 0))
    s.shutdown(socket.SHUT_WR)
    answer = b''
    while piece := s.recv(65536):
        answer += piece
    assert answer == struct.pack('>I', len(payload)) + payload + struct.pack('>I', 0), len(answer)
";
    deadline(|| {
        let program = Program::start("u32", &[]);
        let port = program.address.port().to_string();
        let status = Command::new("python3").args(["-c", SCRIPT, &port]).status();
        assert!(status.expect("python starts").success());
        program.signal(Signal::TERM);
        program.ends_with(0);
    });
}

#[test]
fn a_taken_port_is_one_clear_line() {
    deadline(|| {
        let program = Program::start("raw", &[]);
        let output = Command::new(PROGRAM)
            .args(["echo", "--listen", &program.address.to_string()])
            .output()
            .expect("the program starts");
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(&program.address.to_string()), "{text}");
        assert!(output.stdout.is_empty() && !output.status.success());
    });
}
