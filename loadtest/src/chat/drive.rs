//! The clients of a chat: one thread, one ring, an open loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Args;
use super::client::{self, Heard};
use super::ledger::Ledger;
use super::outcome::Outcome;
use crate::cpu;
use crate::error::{Doing, Error, Result};
use crate::generator::{Progress, Tick, connect};
use crate::schedule::Poisson;
use crate::sys::{Event, Ring};

/// A hundred objects, or what the server sends at once if that is more.
const RECEIVE_BYTES: usize = 128 << 10;
/// All have joined when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(300);
/// How long joining may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the last deliveries are waited for.
const DRAIN: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(100);
/// Sends between two submits.
const ARRIVALS_A_TURN: usize = 256;

struct Client {
    /// What waits behind the send that is under way.
    out: Vec<u8>,
    is_joined: bool,
}

/// The clients, connected and joined.
pub(super) struct Drive<'a> {
    args: &'a Args,
    ring: Ring,
    clients: Vec<Client>,
    ledger: Ledger,
    epoch: Instant,
    joined: usize,
    /// When measuring begins; everything before is not measured.
    begin_ns: u64,
    heard_ns: u64,
    outcome: Outcome,
}

impl<'a> Drive<'a> {
    /// Connects all clients and has each join its room.
    pub(super) fn connect(
        target: SocketAddr,
        args: &'a Args,
        progress: &mut dyn Progress,
    ) -> Result<Drive<'a>> {
        let count = args.clients as usize;
        let ring = connect::all(target, count, RECEIVE_BYTES, progress)?;
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let clients = (0..count).map(|_| Client { out: Vec::new(), is_joined: false }).collect();
        let ledger = Ledger::new(count, args.rooms as usize);
        let mut drive = Drive {
            args,
            ring,
            clients,
            ledger,
            epoch: Instant::now(),
            joined: 0,
            begin_ns: u64::MAX,
            heard_ns: 0,
            outcome: Outcome::default(),
        };
        (0..count).for_each(|slot| drive.ring.receive(slot, true));
        drive.join(progress)?;
        Ok(drive)
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn join(&mut self, progress: &mut dyn Progress) -> Result<()> {
        loop {
            self.wait(TICK)?;
            self.reap()?;
            let now = self.now_ns();
            let is_quiet = now - self.heard_ns > QUIET.as_nanos() as u64;
            if self.joined == self.clients.len() && is_quiet {
                return Ok(());
            }
            if progress.connected(0, self.clients.len()).is_break() {
                return Err(Error::run("interrupted while the clients joined their rooms"));
            }
            if now > JOIN_TIMEOUT.as_nanos() as u64 {
                let (joined, all) = (self.joined, self.clients.len());
                return Err(Error::run(format!("{joined} of {all} clients have joined in time")));
            }
        }
    }

    /// Talks for the time asked for, and waits for the last deliveries.
    pub(super) fn run(mut self, progress: &mut dyn Progress) -> Result<Outcome> {
        let start = self.now_ns();
        self.begin_ns = start + self.args.warm_up.as_nanos() as u64;
        let mut end = self.begin_ns + self.args.duration.as_nanos() as u64;
        let mut schedule = Poisson::new(self.args.rate, self.args.seed, start);
        let (mut begun, mut tick) = (None, start);
        loop {
            let now = self.now_ns();
            if begun.is_none() && now >= self.begin_ns {
                progress.begin();
                begun = Some((Instant::now(), cpu::of_this_thread()));
            }
            if now >= tick {
                tick = now + TICK.as_nanos() as u64;
                if self.tick(progress, now - start, begun.is_some()) {
                    end = end.min(now);
                }
            }
            for _ in 0..ARRIVALS_A_TURN {
                if schedule.due_ns() > now || schedule.due_ns() >= end {
                    break;
                }
                let due = schedule.due_ns();
                let speaker = schedule.take(self.clients.len());
                self.say(speaker, due);
            }
            if now >= end {
                break;
            }
            let next = schedule.due_ns().min(end).min(tick);
            self.wait(Duration::from_nanos(next.saturating_sub(self.now_ns())))?;
            self.reap()?;
        }
        if let Some((at, before)) = begun {
            self.outcome.wall = at.elapsed();
            self.outcome.own_cpu = cpu::of_this_thread().since(before);
        }
        progress.end();
        self.drain()?;
        Ok(Outcome { ledger: self.ledger, ..self.outcome })
    }

    /// Whether the user wants an end.
    fn tick(&mut self, progress: &mut dyn Progress, elapsed: u64, is_measuring: bool) -> bool {
        let (ledger, outcome) = (&self.ledger, &mut self.outcome);
        let tick = Tick {
            elapsed: Duration::from_nanos(elapsed),
            is_measuring,
            answered: ledger.heard,
            outstanding: ledger.missing(),
            errors: ledger.flaws(),
            worst_ns: std::mem::take(&mut outcome.worst_ns),
        };
        outcome.is_interrupted |= progress.tick(&tick).is_break();
        outcome.is_interrupted
    }

    fn say(&mut self, speaker: usize, due_ns: u64) {
        client::message(&mut self.clients[speaker].out, due_ns, self.args.size);
        self.ledger.say(speaker);
        self.outcome.said += u64::from(due_ns >= self.begin_ns);
        self.flush(speaker);
    }

    fn flush(&mut self, slot: usize) {
        let client = &mut self.clients[slot];
        if !client.out.is_empty() && !self.ring.is_sending(slot) {
            self.ring.send(slot, &mut client.out);
        }
    }

    fn wait(&mut self, at_most: Duration) -> Result<()> {
        self.ring.wait(at_most.max(Duration::from_nanos(1))).doing("the generator's ring")
    }

    fn drain(&mut self) -> Result<()> {
        let until = Instant::now() + DRAIN;
        while self.ledger.missing() > 0 && Instant::now() < until {
            self.wait(TICK)?;
            self.reap()?;
        }
        Ok(())
    }

    fn reap(&mut self) -> Result<()> {
        let now = self.now_ns();
        while let Some((slot, event)) = self.ring.next_event() {
            match event {
                Event::Received(bytes) if bytes > 0 => {
                    self.hear(slot, now)?;
                    self.ring.receive(slot, false);
                }
                Event::Received(_) => {
                    return Err(Error::run(format!("client {slot}: closed by the server")));
                }
                Event::Sent(errno) if errno < 0 => {
                    let error = std::io::Error::from_raw_os_error(-errno);
                    return Err(Error::run(format!("client {slot}: {error}")));
                }
                _ => self.flush(slot),
            }
        }
        Ok(())
    }

    /// Reads every whole object that has come to a client.
    fn hear(&mut self, slot: usize, now: u64) -> Result<()> {
        self.heard_ns = now;
        while let Some((object, bytes)) = client::first(self.ring.received(slot)) {
            match client::read(object) {
                Heard::Message(id, due) => {
                    self.ledger.hear(slot, id, Some(due));
                    self.record(due, now);
                }
                Heard::Sent(id) => self.ledger.hear(slot, id, None),
                Heard::Welcome => {
                    let room = format!("JOIN\nroom{}", self.ledger.room(slot));
                    client::frame(&mut self.clients[slot].out, room.as_bytes());
                    self.flush(slot);
                }
                Heard::RoomJoined => {
                    self.joined += usize::from(!self.clients[slot].is_joined);
                    self.clients[slot].is_joined = true;
                }
                Heard::Other => {}
                Heard::Bad => {
                    let object = String::from_utf8_lossy(object).into_owned();
                    return Err(Error::run(format!("client {slot}: the server says {object}")));
                }
            }
            self.ring.consume(slot, bytes);
        }
        Ok(())
    }

    fn record(&mut self, due: u64, now: u64) {
        let latency = now.saturating_sub(due);
        self.outcome.worst_ns = self.outcome.worst_ns.max(latency);
        if due >= self.begin_ns {
            self.outcome.latency.record(latency);
        }
    }
}
