//! A server as a child process of ours: started on a core of its own, asked for its address by
//! its first line, paused, and ended by its own process number however this program ends.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::error::{Doing, Error, Result};
use crate::protocol::Protocol;
use crate::sys;

/// How long a server may take to say where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server may take for the line of its configuration, after the first one.
const CONFIG_TIMEOUT: Duration = Duration::from_millis(200);

/// A running server; dropping it ends the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: String,
    address: SocketAddr,
    banner: String,
    config: Value,
}

/// The command that starts a server of this very binary: `skyring-load serve NAME ...`.
///
/// # Errors
/// The binary's own path cannot be found.
pub fn named(name: &str, protocol: &Protocol) -> Result<Command> {
    let program = std::env::current_exe().doing("finding this program's own path")?;
    let mut command = Command::new(program);
    command.arg("serve").args(protocol.serve(name)).args(["--listen", "127.0.0.1:0"]);
    Ok(command)
}

/// The command of a server as asked for: a name of [`named`], or a command line of its own, which
/// has a blank or a slash in it.
///
/// # Errors
/// As of the two.
pub fn asked_for(server: &str, protocol: &Protocol) -> Result<Command> {
    if server.contains([' ', '/']) { from_line(server) } else { named(server, protocol) }
}

/// The command of a line as typed; quotes are not understood, words are.
///
/// # Errors
/// The line is empty.
pub fn from_line(line: &str) -> Result<Command> {
    let mut words = line.split_whitespace().map(OsString::from);
    let program = words.next().ok_or_else(|| Error::usage("the server's command is empty"))?;
    let mut command = Command::new(program);
    command.args(words);
    Ok(command)
}

impl Server {
    /// Starts `command` on `core` and waits until it listens. It must say so in its first line:
    /// `listening on ADDRESS:PORT ...`; a second line `config {...}` tells its configuration.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or says something else.
    pub fn start(name: &str, mut command: Command, core: Option<usize>) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // A group of its own, so that Ctrl-C reaches us first and the run can end in order.
        command.process_group(0);
        sys::prepare_child(&mut command, core);
        let mut child = command.spawn().doing(&format!("starting the server {name}"))?;
        let lines = read_lines(&mut child);
        let mut server = Self {
            child,
            name: name.to_owned(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            banner: String::new(),
            config: Value::Object(serde_json::Map::new()),
        };
        // From here on an error drops `server`, which ends the process.
        server.banner = server.first_line(&lines)?;
        server.address = parse_banner(&server.banner).ok_or_else(|| {
            Error::run(format!(
                "the server {name} began with `{}` instead of `listening on ADDRESS:PORT`",
                server.banner
            ))
        })?;
        let line = lines.recv_timeout(CONFIG_TIMEOUT).unwrap_or_default();
        if let Some(config) = line.strip_prefix("config ") {
            server.config = serde_json::from_str(config).map_err(|error| {
                Error::run(format!("the server {name} told its configuration badly: {error}"))
            })?;
        }
        Ok(server)
    }

    fn first_line(&mut self, lines: &Receiver<String>) -> Result<String> {
        lines.recv_timeout(START_TIMEOUT).map_err(|error| {
            let mut message = format!("the server {} ", self.name);
            match (error, ended_soon(&mut self.child)) {
                (RecvTimeoutError::Timeout, _) => {
                    let _ = write!(message, "did not listen within {START_TIMEOUT:?}");
                }
                (_, Some(status)) => {
                    let _ = write!(message, "ended before it listened ({status}); see above why");
                }
                (_, None) => message.push_str("closed its output before it listened"),
            }
            Error::run(message)
        })
    }

    /// The name that it was started by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its first line.
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// What it told of its configuration; an empty object if nothing.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Its process number, for [`crate::cpu::of_process`].
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops all its threads (SIGSTOP).
    ///
    /// # Errors
    /// It is gone.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets its threads go on (SIGCONT).
    ///
    /// # Errors
    /// It is gone.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .doing(&format!("signalling the server {}", self.name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A child that was not waited for keeps its number, so this can meet no other process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the child's output to its end, so that it never blocks on a full pipe.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let output = child.stdout.take().expect("stdout was asked to be piped");
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            // Nobody listens after the second line.
            let _ = sender.send(line);
        }
    });
    lines
}

/// `listening on 127.0.0.1:8888 (...)`.
fn parse_banner(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.split_whitespace().next()?.parse().ok()
}

/// The status of a child that closed its output, which mostly means that it is ending.
fn ended_soon(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..20 {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_server_is_known_by_its_first_lines() {
        let script =
            "echo 'listening on 127.0.0.1:4711 (one core)'; echo 'config {\"a\":1}'; sleep 60";
        let mut server = Server::start("test", shell(script), None).expect("it starts");
        assert_eq!(server.address().port(), 4711);
        assert_eq!(server.config()["a"], 1);
        assert!(server.is_alive());
        let pid = server.pid();
        drop(server);
        assert!(crate::cpu::of_process(pid).is_err(), "its process is gone");
    }

    #[test]
    fn a_server_that_ends_or_says_nonsense_is_told_apart() {
        let ended = Server::start("test", shell("exit 3"), None).expect_err("it ends");
        assert!(ended.to_string().contains("ended before it listened"), "{ended}");
        let nonsense = Server::start("test", shell("echo hello; sleep 60"), None);
        assert!(nonsense.expect_err("no address").to_string().contains("`hello`"));
        let missing = Server::start("test", Command::new("/nonexistent"), None);
        assert!(missing.is_err());
    }

    #[test]
    fn a_banner_tells_an_address() {
        assert!(parse_banner("listening on [::1]:80 (x)").is_some());
        assert_eq!(parse_banner("listening at 127.0.0.1:80"), None);
    }
}
