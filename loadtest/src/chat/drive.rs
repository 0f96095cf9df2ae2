//! The clients of a chat: one thread, one ring, an open loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Args;
use super::client::{self, Heard};
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
    room: usize,
    /// What waits behind the send that is under way.
    out: Vec<u8>,
    /// Of the last message of its room that it has heard, or said.
    last_id: u64,
    is_joined: bool,
}

/// A room as its members must all hear it.
#[derive(Default)]
struct Room {
    members: u64,
    /// When the message of each id was due; 0 where only its speaker has heard of it. Ids begin
    /// with 1.
    due: Vec<u64>,
}

/// The clients, connected and joined.
pub(super) struct Drive<'a> {
    args: &'a Args,
    ring: Ring,
    clients: Vec<Client>,
    rooms: Vec<Room>,
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
        let mut rooms: Vec<Room> = (0..args.rooms).map(|_| Room::default()).collect();
        let clients = (0..count).map(|slot| {
            let room = slot % rooms.len();
            rooms[room].members += 1;
            Client { room, out: Vec::new(), last_id: 0, is_joined: false }
        });
        let clients = clients.collect();
        let mut drive = Drive {
            args,
            ring,
            clients,
            rooms,
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
        Ok(self.outcome)
    }

    /// Whether the user wants an end.
    fn tick(&mut self, progress: &mut dyn Progress, elapsed: u64, is_measuring: bool) -> bool {
        let outcome = &mut self.outcome;
        let tick = Tick {
            elapsed: Duration::from_nanos(elapsed),
            is_measuring,
            answered: outcome.heard,
            outstanding: outcome.expected.saturating_sub(outcome.heard),
            errors: outcome.flaws(),
            worst_ns: std::mem::take(&mut outcome.worst_ns),
        };
        outcome.is_interrupted |= progress.tick(&tick).is_break();
        outcome.is_interrupted
    }

    fn say(&mut self, speaker: usize, due_ns: u64) {
        let client = &mut self.clients[speaker];
        client::message(&mut client.out, due_ns, self.args.size);
        self.outcome.expected += self.rooms[client.room].members;
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
        while self.outcome.heard + self.outcome.lost < self.outcome.expected
            && Instant::now() < until
        {
            self.wait(TICK)?;
            self.reap()?;
        }
        // What never came at all shows as no gap.
        self.outcome.lost = self.outcome.expected.saturating_sub(self.outcome.heard);
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
                    self.number(slot, id, Some(due));
                    self.record(due, now);
                }
                Heard::Sent(id) => self.number(slot, id, None),
                Heard::Welcome => {
                    let client = &mut self.clients[slot];
                    let room = format!("JOIN\nroom{}", client.room);
                    client::frame(&mut client.out, room.as_bytes());
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

    /// Books an id: without a gap, growing, and of the same message for all.
    fn number(&mut self, slot: usize, id: u64, due: Option<u64>) {
        let client = &mut self.clients[slot];
        let outcome = &mut self.outcome;
        outcome.heard += 1;
        if id <= client.last_id {
            outcome.reordered += 1;
        } else {
            outcome.gaps += id - client.last_id - 1;
            client.last_id = id;
        }
        let Some(due) = due else { return };
        let messages = &mut self.rooms[client.room].due;
        let at = id as usize - 1;
        if at >= messages.len() {
            messages.resize(at + 1, 0);
        }
        match messages[at] {
            0 => messages[at] = due,
            known => outcome.differing += u64::from(known != due),
        }
    }

    fn record(&mut self, due: u64, now: u64) {
        let latency = now.saturating_sub(due);
        self.outcome.worst_ns = self.outcome.worst_ns.max(latency);
        if due >= self.begin_ns {
            self.outcome.latency.record(latency);
        }
    }
}
