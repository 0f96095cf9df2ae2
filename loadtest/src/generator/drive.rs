//! One slice of load: what is due is sent, what comes is checked and measured, until the last
//! answer.

use std::time::Duration;

use super::connection::{DUE_WHEN_SENT, Request};
use super::slice::{Pacing, Plan, Progress, Slice, Tick};
use super::{Generator, IN_FLIGHT_MAX};
use crate::cpu::{self, CpuTimes};
use crate::error::{Error, Result};
use crate::protocol::{Answer, Aside, Wrong};
use crate::schedule::Poisson;
use crate::sys::Event;

/// Before a request is due the thread spins this long: a sleep's end is up to 10 us late (measured
/// with a timer slack of 1 ns), and waking up takes a few more.
const SPIN_NS: u64 = 40_000;

/// So many sends are handed to the kernel at once; each takes some 5 us there, and the time of the
/// first is taken for all.
const SENDS_A_SUBMIT: usize = 4;

/// Arrivals taken in one turn, so that answers are looked for in between.
const ARRIVALS_A_TURN: usize = 64;

/// Requests that may wait for their connections; beyond it the schedule itself waits, and its
/// requests keep the time at which they were due.
const WAITING_MAX: usize = 1 << 20;

/// Connections that are looked at for one that is free.
const NEIGHBOURS: usize = 8;

/// Between two looks of the caller at the run.
const TICK_NS: u64 = 100_000_000;

/// How long answers are waited for when the run is broken off.
const INTERRUPTED_DRAIN_NS: u64 = 200_000_000;

struct Drive<'a> {
    generator: &'a mut Generator,
    progress: &'a mut dyn Progress,
    slice: Slice,
    number: u64,
    bound: usize,
    /// None in a closed loop.
    schedule: Option<Poisson>,
    start_ns: u64,
    begin_ns: u64,
    end_ns: u64,
    give_up_ns: u64,
    tick_ns: u64,
    begun: Option<(u64, CpuTimes)>,
    waiting: usize,
    answered: u64,
    worst_ns: u64,
}

pub(super) fn run(
    generator: &mut Generator,
    plan: &Plan,
    progress: &mut dyn Progress,
) -> Result<Slice> {
    if generator.live.is_empty() {
        return Err(Error::run("no connection to the server is left"));
    }
    let mut drive = Drive::new(generator, plan, progress);
    drive.fill();
    while drive.turn()? {}
    Ok(drive.finish())
}

impl<'a> Drive<'a> {
    fn new(generator: &'a mut Generator, plan: &Plan, progress: &'a mut dyn Progress) -> Self {
        let slice = Slice::new(plan.duration);
        let start_ns = generator.now_ns();
        let begin_ns = start_ns + plan.warm_up.as_nanos() as u64;
        let end_ns = begin_ns + plan.duration.as_nanos() as u64;
        let schedule = match plan.pacing {
            Pacing::Rate(rate) => Some(Poisson::new(rate, generator.slice_seed(), start_ns)),
            Pacing::Max => None,
        };
        Self {
            slice,
            number: generator.slices,
            bound: generator.bound(plan.pacing),
            schedule,
            start_ns,
            begin_ns,
            end_ns,
            give_up_ns: end_ns + plan.drain.as_nanos() as u64,
            tick_ns: start_ns + TICK_NS,
            begun: None,
            waiting: 0,
            answered: 0,
            worst_ns: 0,
            generator,
            progress,
        }
    }

    /// A closed loop begins with all requests that may be in flight.
    fn fill(&mut self) {
        if self.schedule.is_some() {
            return;
        }
        assert!(self.bound <= IN_FLIGHT_MAX, "checked when the connections were opened");
        for index in 0..self.generator.live.len() {
            let slot = self.generator.live[index];
            (0..self.bound).for_each(|_| self.add(slot, DUE_WHEN_SENT));
        }
    }

    /// One round of arrivals, sends, waiting and answers; false when the slice is over.
    fn turn(&mut self) -> Result<bool> {
        let now = self.generator.now_ns();
        if self.begun.is_none() && now >= self.begin_ns {
            self.progress.begin();
            self.begun = Some((self.generator.now_ns(), cpu::of_this_thread()));
        }
        if now >= self.tick_ns {
            self.tick(now);
        }
        self.take_due(now);
        self.flush()?;
        let is_idle = self.generator.outstanding == 0 && self.waiting == 0;
        let is_over = now >= self.end_ns && (is_idle || now >= self.give_up_ns);
        if is_over || self.generator.live.is_empty() {
            return Ok(false);
        }
        self.wait(now)?;
        self.reap();
        Ok(true)
    }

    fn tick(&mut self, now: u64) {
        let tick = Tick {
            elapsed: Duration::from_nanos(now - self.start_ns),
            is_measuring: self.begun.is_some(),
            answered: self.answered,
            outstanding: self.generator.outstanding,
            errors: self.slice.errors.total(),
            worst_ns: std::mem::take(&mut self.worst_ns),
        };
        self.tick_ns = now + TICK_NS;
        if self.progress.tick(&tick).is_break() && !self.slice.is_interrupted {
            self.slice.is_interrupted = true;
            self.end_ns = now.min(self.end_ns);
            self.give_up_ns = self.give_up_ns.min(now + INTERRUPTED_DRAIN_NS);
        }
    }

    /// Takes the arrivals that are due, each to its connection.
    fn take_due(&mut self, now: u64) {
        let Some(mut schedule) = self.schedule.take() else { return };
        for _ in 0..ARRIVALS_A_TURN {
            let due = schedule.due_ns();
            let is_full = self.waiting >= WAITING_MAX || self.generator.live.is_empty();
            if due > now || due >= self.end_ns || is_full {
                break;
            }
            let drawn = schedule.take(self.generator.live.len());
            let slot = self.with_room(drawn);
            let is_measured = due >= self.begin_ns;
            if is_measured {
                self.slice.due += 1;
                self.slice.timeline.due(due - self.begin_ns);
            }
            let state = &self.generator.connections[slot as usize];
            if is_measured && state.outstanding() + state.waiting() >= self.bound {
                self.slice.delayed += 1;
            }
            self.add(slot, due);
        }
        self.schedule = Some(schedule);
    }

    /// The connection that was drawn; where requests wait for each other one beside it that is
    /// free, if there is, as a client with a pool would take.
    fn with_room(&self, drawn: usize) -> u32 {
        let Generator { live, connections, options, .. } = &*self.generator;
        if options.protocol.is_free() {
            return live[drawn];
        }
        let near = (0..NEIGHBOURS).map(|step| live[(drawn + step) % live.len()]);
        let mut free = near.filter(|&slot| {
            let state = &connections[slot as usize];
            state.outstanding() + state.waiting() < self.bound
        });
        free.next().unwrap_or(live[drawn])
    }

    fn add(&mut self, slot: u32, due_ns: u64) {
        self.generator.connections[slot as usize].add(slot, due_ns, self.number);
        self.waiting += 1;
        self.generator.mark(slot);
    }

    /// One send for each connection that has something to say.
    fn flush(&mut self) -> Result<()> {
        let mut sends = 0;
        let mut now = self.generator.now_ns();
        while let Some(slot) = self.generator.dirty.pop() {
            let Generator { wire, connections, dialogue, .. } = &mut *self.generator;
            let connection = &mut connections[slot as usize];
            connection.is_dirty = false;
            if connection.is_lost || wire.ring.is_sending(slot as usize) {
                continue;
            }
            let (out, count) = connection.write(dialogue, self.bound, now);
            if !wire.send(slot as usize, out) {
                continue;
            }
            self.generator.outstanding += count as u64;
            self.waiting -= count;
            sends += 1;
            if sends % SENDS_A_SUBMIT == 0 {
                self.generator.submit()?;
                now = self.generator.now_ns();
            }
        }
        Ok(())
    }

    /// Sleeps until an answer comes or something is due, and spins just before a request is due.
    fn wait(&mut self, now: u64) -> Result<()> {
        let others = if now < self.end_ns { self.end_ns } else { self.give_up_ns };
        let others = others.min(self.tick_ns).max(now);
        let due = self.schedule.as_ref().map(Poisson::due_ns);
        let due = due.filter(|&due| due < self.end_ns && self.waiting < WAITING_MAX);
        let result = match due {
            Some(due) if due <= others.saturating_add(SPIN_NS) => {
                let now = self.generator.now_ns();
                if due <= now {
                    self.generator.wire.ring.poll().map(drop)
                } else if due - now > SPIN_NS {
                    let sleep = Duration::from_nanos(due - now - SPIN_NS);
                    self.generator.wire.ring.wait(sleep)
                } else {
                    self.spin(due)
                }
            }
            _ => self.generator.wire.ring.wait(Duration::from_nanos(others - now + 1)),
        };
        result.map_err(|error| Error::run(format!("the generator's ring: {error}")))
    }

    fn spin(&mut self, due: u64) -> std::io::Result<()> {
        // What was asked for goes out first, so that only idle time counts as spinning.
        if self.generator.wire.ring.poll()? {
            return Ok(());
        }
        let begin = self.generator.now_ns();
        let mut now = begin;
        while now < due && !self.generator.wire.ring.poll()? {
            std::hint::spin_loop();
            now = self.generator.now_ns();
        }
        if self.begun.is_some() {
            self.slice.spin += Duration::from_nanos(now - begin);
        }
        Ok(())
    }

    /// Takes what the kernel finished. One look at the clock serves all: they were finished before
    /// it, and booking one takes far less than a microsecond.
    fn reap(&mut self) {
        let now = self.generator.now_ns();
        while let Some((slot, event)) = self.generator.wire.ring.next_event() {
            let state = &self.generator.connections[slot];
            if state.is_lost {
                continue;
            }
            match event {
                Event::Received(bytes) if bytes > 0 => {
                    match self.generator.wire.absorb(slot) {
                        Ok(()) => self.replies(slot, now),
                        Err(what) => self.lose(slot, &what, Loss::Framing),
                    }
                    let state = &self.generator.connections[slot];
                    if !state.is_lost {
                        let (is_awaited, waits) = (state.outstanding() > 0, state.waiting() > 0);
                        let waits = waits || self.generator.wire.has_to_say(slot);
                        self.generator.wire.ring.receive(slot, is_awaited);
                        // The answer made room for what was due on this connection meanwhile.
                        if waits {
                            self.generator.mark(slot as u32);
                        }
                    }
                }
                Event::Received(0) => self.lose(slot, "closed by the server", Loss::Lost),
                Event::Received(errno) | Event::Sent(errno) if errno < 0 => {
                    let error = std::io::Error::from_raw_os_error(-errno);
                    self.lose(slot, &error.to_string(), Loss::Lost);
                }
                _ if state.waiting() > 0 => self.generator.mark(slot as u32),
                _ => {}
            }
        }
    }

    /// Checks and measures every whole reply that came on a connection.
    fn replies(&mut self, slot: usize, now: u64) {
        loop {
            let Generator { wire, connections, dialogue, .. } = &mut *self.generator;
            let received = wire.received(slot);
            if received.is_empty() {
                return;
            }
            if let Aside::Whole { bytes, reply } = dialogue.aside(received) {
                wire.consume(slot, bytes);
                connections[slot].say(&reply);
                self.generator.mark(slot as u32);
                continue;
            }
            let Some(&request) = connections[slot].front() else {
                let count = received.len();
                return self.lose(
                    slot,
                    &format!("{count} bytes that nobody asked for"),
                    Loss::Framing,
                );
            };
            match dialogue.answer(received, request.sequence, request.intended_ns) {
                Answer::Incomplete if wire.is_full(slot) => {
                    let what = format!("an answer of more than {} bytes", received.len());
                    return self.lose(slot, &what, Loss::Framing);
                }
                Answer::Incomplete => return,
                Answer::Whole { bytes, checked } => {
                    wire.consume(slot, bytes);
                    connections[slot].answered();
                    self.generator.outstanding -= 1;
                    match checked {
                        Ok(()) => self.record(&request, now),
                        Err(wrong) => self.differs(slot, &request, wrong),
                    }
                    self.count(now);
                    if self.schedule.is_none() && now < self.end_ns {
                        self.add(slot as u32, DUE_WHEN_SENT);
                    }
                }
                Answer::Broken(what) => return self.lose(slot, &what, Loss::Framing),
            }
        }
    }

    #[cold]
    fn differs(&mut self, slot: usize, request: &Request, wrong: Wrong) {
        let number = request.sequence & ((1 << 40) - 1);
        self.slice.errors.mismatch += 1;
        self.slice.errors.say(format_args!("connection {slot}, request {number}: {wrong}"));
    }

    #[inline]
    fn count(&mut self, now: u64) {
        self.answered += 1;
        self.slice.answered_in_all += u64::from(self.begun.is_some());
        let is_in_time = (self.begin_ns..self.end_ns).contains(&now);
        if is_in_time {
            self.slice.answered_in_time += 1;
            self.slice.timeline.came(now - self.begin_ns);
        }
    }

    #[inline]
    fn record(&mut self, request: &Request, now: u64) {
        let response = now.saturating_sub(request.intended_ns);
        self.worst_ns = self.worst_ns.max(response);
        let is_measured = (self.begin_ns..self.end_ns).contains(&request.intended_ns);
        if !is_measured || request.slice != self.number {
            return;
        }
        let at = request.intended_ns - self.begin_ns;
        let slice = &mut self.slice;
        slice.answered += 1;
        slice.response.record(response);
        slice.service.record(now.saturating_sub(request.sent_ns));
        slice.send_lag.record(request.sent_ns.saturating_sub(request.intended_ns));
        slice.timeline.answered(at, response);
        if self.schedule.is_none() {
            slice.due += 1;
            slice.timeline.due(at);
        }
    }

    #[cold]
    fn lose(&mut self, slot: usize, what: &str, loss: Loss) {
        let state = &mut self.generator.connections[slot];
        self.waiting -= state.waiting();
        let outstanding = state.clear() as u64;
        state.is_lost = true;
        self.generator.outstanding -= outstanding;
        self.generator.live.retain(|&live| live as usize != slot);
        // Ends what is still in flight on it; its events are passed over.
        let _ = rustix::net::shutdown(
            self.generator.wire.ring.socket(slot),
            rustix::net::Shutdown::Both,
        );
        let errors = &mut self.slice.errors;
        match loss {
            Loss::Lost => errors.connection_lost += 1,
            Loss::Framing => errors.framing += 1,
        }
        errors.censored += outstanding;
        errors.say(format_args!(
            "connection {slot}: {what}; {outstanding} requests on it stay unanswered"
        ));
    }

    fn finish(mut self) -> Slice {
        let now = self.generator.now_ns();
        if let Some((begun_ns, before)) = self.begun {
            self.slice.wall = Duration::from_nanos(now - begun_ns);
            self.slice.cpu = cpu::of_this_thread().since(before);
        }
        self.progress.end();
        self.slice.measured =
            Duration::from_nanos(now.min(self.end_ns).saturating_sub(self.begin_ns));
        let mut given_up = 0;
        for state in &mut self.generator.connections {
            let (waiting, sent) = state.give_up(self.number);
            given_up += waiting as u64 + sent.count() as u64;
        }
        if given_up > 0 {
            self.slice.errors.censored += given_up;
            self.slice
                .errors
                .say(format_args!("{given_up} requests were not answered until the run ended"));
        }
        self.slice
    }
}

#[derive(Clone, Copy)]
enum Loss {
    Lost,
    Framing,
}

impl Generator {
    #[inline]
    fn mark(&mut self, slot: u32) {
        let state = &mut self.connections[slot as usize];
        if !state.is_dirty {
            state.is_dirty = true;
            self.dirty.push(slot);
        }
    }
}
