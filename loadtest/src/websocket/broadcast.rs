//! `skyring-load websocket --broadcast`: what one socket says goes to all, a message a tick.
//!
//! ```text
//!   tick ──due──► socket 0 ──► server ──► every socket: the same message, in order, whole
//! ```
//! Latency is from the tick at which a message was due to each of its deliveries.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::error::{Doing, Error, Result};
use crate::generator::{Progress, Tick, connect};
use crate::protocol::websocket::{Ask, BROADCAST, ENCODINGS};
use crate::protocol::{Answer, Aside, Dialogue, Protocol, http};
use crate::sys::{Event, Ring};

use super::outcome::Outcome;

/// Several messages, or one that is larger.
const RECEIVE_BYTES: usize = 16 << 10;
/// The server's side of the last handshake needs a moment more than ours.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the last deliveries are waited for.
const DRAIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) sockets: usize,
    pub(super) bytes: usize,
    pub(super) is_text: bool,
    /// Messages a second.
    pub(super) rate: f64,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    pub(super) seed: u64,
}

/// The sockets, open.
pub(super) struct Drive<'a> {
    load: &'a Load,
    target: SocketAddr,
    ring: Ring,
    dialogue: Dialogue,
    /// By socket: the message that it has to hear next.
    next: Vec<u64>,
    out: Vec<Vec<u8>>,
    epoch: Instant,
    start_ns: u64,
    begin_ns: u64,
    said: u64,
    outcome: Outcome,
}

impl<'a> Drive<'a> {
    /// Opens all sockets.
    pub(super) fn connect(
        target: SocketAddr,
        load: &'a Load,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let ask = Ask { path: BROADCAST.to_owned(), authority: None, is_text: load.is_text };
        let dialogue = Protocol::WebSocket(ask).prepare(target, load.bytes, load.seed)?;
        let receive_bytes = RECEIVE_BYTES.max(dialogue.answer_bytes_max());
        let mut ring = connect::all(target, load.sockets, receive_bytes, progress)?;
        (0..load.sockets).try_for_each(|slot| dialogue.open(ring.socket(slot)))?;
        std::thread::sleep(SETTLE);
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        (0..load.sockets).for_each(|slot| ring.receive(slot, true));
        Ok(Self {
            load,
            target,
            ring,
            dialogue,
            next: vec![0; load.sockets],
            out: vec![Vec::new(); load.sockets],
            epoch: Instant::now(),
            start_ns: 0,
            begin_ns: 0,
            said: 0,
            outcome: Outcome::default(),
        })
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// When a message is due.
    fn due_ns(&self, number: u64) -> u64 {
        self.start_ns + (number as f64 * 1e9 / self.load.rate) as u64
    }

    /// Says a message a tick for the time asked for, and waits for the last deliveries.
    pub(super) fn run(mut self, progress: &mut dyn Progress) -> Result<Outcome> {
        self.start_ns = self.now_ns();
        self.begin_ns = self.start_ns + self.load.warm_up.as_nanos() as u64;
        let mut end = self.begin_ns + self.load.duration.as_nanos() as u64;
        let before = self.encodings();
        let (mut begun, mut look) = (None, self.start_ns);
        loop {
            let now = self.now_ns();
            if begun.is_none() && now >= self.begin_ns {
                progress.begin();
                begun = Some((Instant::now(), cpu::of_this_thread()));
            }
            if now >= look {
                look = now + LOOK.as_nanos() as u64;
                if self.tick(progress, now, begun.is_some()) {
                    end = end.min(now);
                }
            }
            while self.due_ns(self.said) <= now && self.due_ns(self.said) < end {
                self.say();
            }
            if now >= end {
                break;
            }
            let next = self.due_ns(self.said).min(end).min(look);
            self.turn(Duration::from_nanos(next.saturating_sub(now)))?;
        }
        let until = Instant::now() + DRAIN;
        while self.missing() > 0 && Instant::now() < until {
            self.turn(LOOK)?;
        }
        progress.end();
        if let Some((at, before)) = begun {
            self.outcome.wall = at.elapsed();
            self.outcome.own_cpu = cpu::of_this_thread().since(before);
        }
        self.outcome.encodings = self.encodings().zip(before).map(|(after, before)| after - before);
        self.outcome.messages = self.said;
        self.outcome.errors.censored += self.missing();
        Ok(self.outcome)
    }

    /// How many messages the server has encoded, if it tells.
    fn encodings(&self) -> Option<u64> {
        let (status, content) = http::fetch(ENCODINGS, self.target).ok()?;
        std::str::from_utf8(&content).ok()?.trim().parse().ok().filter(|_| status == 200)
    }

    fn missing(&self) -> u64 {
        self.next.iter().map(|next| self.said - next).sum()
    }

    /// Whether the user wants an end.
    fn tick(&mut self, progress: &mut dyn Progress, now: u64, is_measuring: bool) -> bool {
        let tick = Tick {
            elapsed: Duration::from_nanos(now - self.start_ns),
            is_measuring,
            answered: self.next.iter().sum(),
            outstanding: self.missing(),
            errors: self.outcome.errors.total(),
            worst_ns: std::mem::take(&mut self.outcome.worst_ns),
        };
        self.outcome.is_interrupted |= progress.tick(&tick).is_break();
        self.outcome.is_interrupted
    }

    fn say(&mut self) {
        let due = self.due_ns(self.said);
        self.dialogue.write(self.said, due, &mut self.out[0]);
        self.said += 1;
        self.outcome.said += u64::from(due >= self.begin_ns);
        self.flush(0);
    }

    fn flush(&mut self, slot: usize) {
        if !self.out[slot].is_empty() && !self.ring.is_sending(slot) {
            self.ring.send(slot, &mut self.out[slot]);
        }
    }

    fn turn(&mut self, at_most: Duration) -> Result<()> {
        self.ring.wait(at_most.max(Duration::from_nanos(1))).doing("the generator's ring")?;
        while let Some((slot, event)) = self.ring.next_event() {
            match event {
                Event::Received(bytes) if bytes > 0 => {
                    self.hear(slot)?;
                    self.ring.receive(slot, false);
                }
                Event::Received(_) => {
                    return Err(Error::run(format!("socket {slot}: closed by the server")));
                }
                Event::Sent(errno) if errno < 0 => {
                    let error = std::io::Error::from_raw_os_error(-errno);
                    return Err(Error::run(format!("socket {slot}: {error}")));
                }
                _ => self.flush(slot),
            }
        }
        Ok(())
    }

    /// Takes every whole message that has come to a socket.
    fn hear(&mut self, slot: usize) -> Result<()> {
        let now = self.now_ns();
        loop {
            let received = self.ring.received(slot);
            if received.is_empty() {
                return Ok(());
            }
            if let Aside::Whole { bytes, reply } = self.dialogue.aside(received) {
                self.ring.consume(slot, bytes);
                self.out[slot].extend_from_slice(&reply);
                self.flush(slot);
                continue;
            }
            let number = self.next[slot];
            let due = self.due_ns(number);
            match self.dialogue.answer(received, number, due) {
                Answer::Whole { bytes, checked } if number < self.said => {
                    self.ring.consume(slot, bytes);
                    self.next[slot] += 1;
                    match checked {
                        Ok(()) => {
                            self.outcome.record(now.saturating_sub(due), due >= self.begin_ns)
                        }
                        Err(wrong) => self
                            .outcome
                            .differs(format_args!("socket {slot}, message {number}: {wrong}")),
                    }
                }
                Answer::Incomplete if self.ring.is_full(slot) => {
                    let what = format!("a message of more than {} bytes", received.len());
                    return Err(Error::run(format!("socket {slot}: {what}")));
                }
                Answer::Incomplete => return Ok(()),
                Answer::Whole { .. } => {
                    let what = "a message that nobody has said";
                    return Err(Error::run(format!("socket {slot}: {what}")));
                }
                Answer::Broken(what) => return Err(Error::run(format!("socket {slot}: {what}"))),
            }
        }
    }
}
