//! One of the servers that are compared: its process, the connections to it, and its sums.

use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::cpu::{self, CpuTimes};
use crate::error::{Doing, Error, Result};
use crate::generator::{Errors, Generator, Options, Pacing, Silent};
use crate::latency::Latency;
use crate::process::{self, Server};
use crate::protocol::Protocol;
use crate::serve;

/// What `--a` and `--b` name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spec {
    /// A server of this program, with options of `serve`.
    Own { name: String, options: Vec<String> },
    /// A command line that starts some other server.
    Line(String),
}

impl Spec {
    /// Reads `epoll`, `raw-uring --receive oneshot` or `./my-server --port 0`.
    ///
    /// # Errors
    /// There is no word in it, or it names a framing: both servers must speak the same.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut words = text.split_whitespace();
        let Some(name) = words.next() else {
            return Err(format!("expected {} or a command line", names()));
        };
        if serve::Server::from_str(name, false).is_err() {
            return Ok(Self::Line(text.to_owned()));
        }
        let options: Vec<String> = words.map(str::to_owned).collect();
        if options.iter().any(|option| option.starts_with("--framing")) {
            return Err("--framing belongs to compare itself: both speak the same".to_owned());
        }
        Ok(Self::Own { name: name.to_owned(), options })
    }

    /// How it was written.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Own { name, options } => {
                options.iter().fold(name.clone(), |title, option| format!("{title} {option}"))
            }
            Self::Line(line) => line.clone(),
        }
    }

    fn command(&self, protocol: &Protocol) -> Result<Command> {
        match self {
            Self::Own { name, options } => {
                let mut command = process::named(name, protocol)?;
                command.args(options);
                Ok(command)
            }
            Self::Line(line) => process::from_line(line),
        }
    }

    /// Starts the server on `core`.
    ///
    /// # Errors
    /// It cannot be started, or does not say where it listens.
    pub(super) fn start(&self, protocol: &Protocol, core: Option<usize>) -> Result<Server> {
        let title = self.title();
        Server::start(&title, self.command(protocol)?, core).map_err(|error| {
            Error::run(match self {
                Self::Own { .. } => error.to_string(),
                Self::Line(_) => format!(
                    "{error}. Expected {}, or a command line that starts a server whose first \
                     line of output is `listening on HOST:PORT`",
                    names()
                ),
            })
        })
    }
}

fn names() -> String {
    let names = serve::Server::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// A server with the connections to it, and what all its slices add up to.
pub(super) struct Contestant {
    server: Server,
    generator: Generator,
    /// All slices together.
    pub(super) sum: Sum,
}

/// What some slices add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    /// Requests answered.
    pub(super) requests: u64,
    /// The server's CPU time.
    pub(super) cpu: CpuTimes,
    /// From sent to answered.
    pub(super) service: Latency,
    /// The measured time.
    pub(super) measured: Duration,
    /// What went wrong; of the sum only, since slices that are not measured count too.
    pub(super) errors: Errors,
}

impl Sum {
    /// CPU time for a request; none without requests.
    pub(super) fn cpu_ns_per_request(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.cpu.run_ns as f64 / self.requests as f64)
    }

    /// The middle service time.
    pub(super) fn p50_ns(&self) -> Option<u64> {
        self.service.quantile(0.5)
    }

    /// Answers a second.
    pub(super) fn achieved(&self) -> f64 {
        if self.measured.is_zero() {
            0.0
        } else {
            self.requests as f64 / self.measured.as_secs_f64()
        }
    }

    /// Adds a slice.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.cpu = self.cpu.plus(other.cpu);
        self.service.merge(&other.service);
        self.measured += other.measured;
    }
}

impl Contestant {
    /// Opens all connections to a server that runs.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(super) fn connect(server: Server, options: &Options) -> Result<Self> {
        let generator = Generator::connect(server.address(), options, &mut Silent)?;
        Ok(Self { server, generator, sum: Sum::default() })
    }

    /// Bytes of content in each answer.
    pub(super) fn content_bytes(&self) -> usize {
        self.generator.dialogue().content_bytes()
    }

    /// Drives the server for `duration` and until its last answer. CPU time is read while it
    /// sleeps, before and after.
    ///
    /// # Errors
    /// The server ended, or no connection to it is left.
    pub(super) fn slice(&mut self, duration: Duration, pacing: Pacing) -> Result<Sum> {
        let before = self.cpu()?;
        let slice = self.generator.slice(duration, pacing, &mut Silent)?;
        let cpu = self.cpu()?.since(before);
        // Of every slice, measured or not: a wrong answer is wrong at any time.
        self.sum.errors.merge(&slice.errors);
        Ok(Sum {
            requests: slice.answered_in_all,
            cpu,
            service: slice.service,
            measured: slice.measured,
            errors: Errors::default(),
        })
    }

    fn cpu(&self) -> Result<CpuTimes> {
        cpu::of_process_at_rest(self.server.pid())
            .doing(&format!("reading the CPU time of the server {}", self.server.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;

    fn own(name: &str, options: &[&str]) -> Spec {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Spec::Own { name: name.to_owned(), options }
    }

    #[test]
    fn a_name_may_carry_options_and_anything_else_is_a_command() {
        assert_eq!(Spec::parse("epoll"), Ok(own("epoll", &[])));
        let oneshot = own("raw-uring", &["--receive", "oneshot"]);
        assert_eq!(Spec::parse(" raw-uring  --receive oneshot "), Ok(oneshot.clone()));
        assert_eq!(oneshot.title(), "raw-uring --receive oneshot");
        let line = "./target/release/other --port 0";
        assert_eq!(Spec::parse(line), Ok(Spec::Line(line.to_owned())));
        assert!(
            Spec::parse("  ").expect_err("no word").contains("raw-uring, raw-http, epoll, tokio")
        );
        assert!(Spec::parse("epoll --framing=raw").is_err());
    }

    #[test]
    fn a_command_that_is_none_is_told_what_was_expected() {
        let spec = Spec::parse("epol").expect("it may be a command");
        let error = spec
            .start(&Protocol::Frames(Framing::U16), None)
            .expect_err("there is no such command");
        let error = error.to_string();
        assert!(error.contains("epoll") && error.contains("listening on HOST:PORT"), "{error}");
    }

    #[test]
    fn sums_add_up_to_time_for_a_request() {
        let cpu = CpuTimes { run_ns: 6_000, delay_ns: 1 };
        let part = Sum { requests: 2, cpu, ..Sum::default() };
        let mut sum = Sum { requests: 1, ..part.clone() };
        sum.add(&part);
        assert_eq!(sum.cpu_ns_per_request(), Some(4_000.0));
        assert_eq!(Sum::default().cpu_ns_per_request(), None);
    }
}
