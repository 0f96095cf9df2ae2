//! What a user sees while a run lasts, Ctrl-C, and the readings of CPU time at the run's ends.

// Progress goes to stderr, so that stdout holds the result alone.
#![allow(clippy::print_stderr)]

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cpu::{self, CpuTimes};
use crate::error::{Doing, Result};
use crate::generator::{Progress, Tick};
use crate::units::{show_count, show_ns, show_rate};

/// How often a line is written to what is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How often the line of a terminal is written anew: each costs the generator some 20 us.
const REDRAW_EVERY: Duration = Duration::from_millis(300);

/// From how many connections on their opening is worth a line.
const CONNECTIONS_SHOWN: usize = 1000;

/// Set by the first Ctrl-C; the second one ends the program at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM.
    ///
    /// # Errors
    /// The kernel refuses the handler.
    pub fn listen() -> Result<Self> {
        let this = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let (ends, sets) = (Arc::clone(&this.0), Arc::clone(&this.0));
            signal_hook::flag::register_conditional_shutdown(signal, 130, ends)
                .doing("listening for Ctrl-C")?;
            signal_hook::flag::register(signal, sets).doing("listening for Ctrl-C")?;
        }
        Ok(this)
    }

    /// Whether the user wants an end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Shows a run and reads the server's CPU time and the host's steal around its measured part.
#[derive(Debug)]
pub struct Watch {
    server: Option<u32>,
    interrupt: Interrupt,
    label: &'static str,
    total: Duration,
    is_terminal: bool,
    is_drawn: bool,
    shown: Duration,
    shown_answered: u64,
    worst_ns: u64,
    before: (Option<CpuTimes>, u64),
    after: (Option<CpuTimes>, u64),
}

impl Watch {
    /// A watch for a run of `total` that begins with `label`; the server's process is known or
    /// not.
    pub fn new(
        label: &'static str,
        total: Duration,
        server: Option<u32>,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            server,
            interrupt,
            label,
            total,
            is_terminal: std::io::stderr().is_terminal(),
            is_drawn: false,
            shown: Duration::ZERO,
            shown_answered: 0,
            worst_ns: 0,
            before: (None, 0),
            after: (None, 0),
        }
    }

    /// What the server used in the measured part; none if its process is not known.
    pub fn server_cpu(&self) -> Option<CpuTimes> {
        Some(self.after.0?.since(self.before.0?))
    }

    /// What the host took meanwhile.
    pub fn steal_ns(&self) -> u64 {
        self.after.1.saturating_sub(self.before.1)
    }

    fn read(&self) -> (Option<CpuTimes>, u64) {
        (self.server.and_then(|pid| cpu::of_process(pid).ok()), cpu::steal_ns())
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.interrupt.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn show(&mut self, line: &str) {
        let mut stderr = std::io::stderr().lock();
        // A terminal that is gone is no reason to end a run.
        let _ = if self.is_terminal {
            write!(stderr, "\r\x1b[K{line}")
        } else {
            writeln!(stderr, "{line}")
        };
        self.is_drawn = self.is_terminal;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Progress for Watch {
    fn connected(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        if total >= CONNECTIONS_SHOWN && self.is_terminal && done.is_multiple_of(100) {
            self.show(&format!(
                "connecting  {} of {}",
                show_count(done as u64),
                show_count(total as u64)
            ));
        }
        if done == total {
            self.clear();
        }
        self.flow()
    }

    fn begin(&mut self) {
        self.before = self.read();
    }

    fn tick(&mut self, now: &Tick) -> ControlFlow<()> {
        self.worst_ns = self.worst_ns.max(now.worst_ns);
        let since = now.elapsed.saturating_sub(self.shown);
        if since >= if self.is_terminal { REDRAW_EVERY } else { LINE_EVERY } {
            let rate =
                now.answered.saturating_sub(self.shown_answered) as f64 / since.as_secs_f64();
            let line = format!(
                "{:<11} {:>5.1} of {:.1} s  {:>9}/s  worst {:>8}  {} in flight  {} errors",
                if now.is_measuring { self.label } else { "warming up" },
                now.elapsed.as_secs_f64(),
                self.total.as_secs_f64(),
                show_rate(rate),
                show_ns(self.worst_ns),
                show_count(now.outstanding),
                show_count(now.errors),
            );
            self.show(&line);
            self.shown = now.elapsed;
            self.shown_answered = now.answered;
            self.worst_ns = 0;
        }
        self.flow()
    }

    fn end(&mut self) {
        self.after = self.read();
        self.clear();
    }
}
