//! Who owes what: every message, call, watch and link of a churn, until it has come to something.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skyring::Metrics;
use skyring::service::{CallError, ServiceId};

/// How a message began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Send,
    Call,
    Broadcast,
    Timer,
    Fork,
}

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Handled,
    /// The sender got it back.
    Returned,
    /// `on_undelivered` got it.
    Undelivered,
    /// Dropped where nobody sees it.
    Dropped,
}

/// How a call has ended, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Answered,
    TimedOut,
    /// The request went back: dead, full or busy.
    Refused,
    /// The request was dropped.
    Dropped,
    /// The caller has ended before.
    Abandoned,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Default)]
pub(crate) struct Books {
    next: u64,
    open: HashMap<u64, Source>,
    fates: BTreeMap<(Source, Fate), u64>,
    calls_open: u64,
    outcomes: BTreeMap<Outcome, u64>,
    answers_open: u64,
    answers_given: u64,
    answers_taken: u64,
    watches: BTreeMap<(ServiceId, ServiceId), Watch>,
    links: BTreeSet<(ServiceId, ServiceId)>,
    pub(crate) alive: BTreeSet<ServiceId>,
    /// In the order in which they ended; whether it was out of order.
    pub(crate) ended: BTreeMap<ServiceId, bool>,
    errors: Vec<String>,
}

#[derive(Default)]
struct Watch {
    given_up: bool,
    heard: u64,
}

impl Ledger {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, id: ServiceId) {
        let mut books = self.books();
        if !books.alive.insert(id) || books.ended.contains_key(&id) {
            books.errors.push(format!("{id:#} is given twice"));
        }
    }

    pub(crate) fn end(&self, id: ServiceId, orderly: bool) {
        let mut books = self.books();
        if !books.alive.remove(&id) || books.ended.insert(id, !orderly).is_some() {
            books.errors.push(format!("{id:#} ended twice"));
        }
    }

    pub(crate) fn watch(&self, watcher: ServiceId, target: ServiceId) {
        self.books().watches.insert((watcher, target), Watch::default());
    }

    pub(crate) fn unwatch(&self, watcher: ServiceId, target: ServiceId) {
        if let Some(watch) = self.books().watches.get_mut(&(watcher, target)) {
            watch.given_up = true;
        }
    }

    pub(crate) fn heard(&self, watcher: ServiceId, target: ServiceId) {
        let mut books = self.books();
        match books.watches.get_mut(&(watcher, target)) {
            Some(watch) => watch.heard += 1,
            None => books.errors.push(format!("{watcher:#} heard of {target:#} unasked")),
        }
    }

    pub(crate) fn link(&self, a: ServiceId, b: ServiceId) {
        self.books().links.insert((a, b));
    }

    pub(crate) fn unlink(&self, a: ServiceId, b: ServiceId) {
        let mut books = self.books();
        books.links.remove(&(a, b));
        books.links.remove(&(b, a));
    }
}

/// A message's place in the ledger; goes with the message.
pub(crate) struct Token {
    ledger: Arc<Ledger>,
    id: u64,
    fate: Fate,
}

impl Token {
    pub(crate) fn open(ledger: &Arc<Ledger>, source: Source) -> Token {
        let mut books = ledger.books();
        books.next += 1;
        let id = books.next;
        books.open.insert(id, source);
        Token { ledger: ledger.clone(), id, fate: Fate::Dropped }
    }

    pub(crate) fn close(mut self, fate: Fate) {
        self.fate = fate;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        match books.open.remove(&self.id) {
            Some(source) => *books.fates.entry((source, self.fate)).or_default() += 1,
            None => books.errors.push(format!("message {} ended twice", self.id)),
        }
    }
}

/// A call from its first poll to its end.
pub(crate) struct Asking {
    ledger: Arc<Ledger>,
    outcome: Outcome,
}

impl Asking {
    pub(crate) fn begin(ledger: &Arc<Ledger>) -> Asking {
        ledger.books().calls_open += 1;
        Asking { ledger: ledger.clone(), outcome: Outcome::Abandoned }
    }

    pub(crate) fn end(mut self, result: Result<Answer, CallError>) {
        self.outcome = match result {
            Ok(answer) => {
                answer.take();
                Outcome::Answered
            }
            Err(CallError::TimedOut) => Outcome::TimedOut,
            Err(CallError::Dropped) => Outcome::Dropped,
            Err(CallError::Dead | CallError::Full | CallError::Busy) => Outcome::Refused,
            Err(other) => panic!("a call to another ended with {other:?}"),
        };
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        books.calls_open -= 1;
        *books.outcomes.entry(self.outcome).or_default() += 1;
    }
}

/// What a call is answered with.
pub(crate) struct Answer(Arc<Ledger>);

impl Answer {
    pub(crate) fn give(ledger: &Arc<Ledger>) -> Answer {
        let mut books = ledger.books();
        books.answers_open += 1;
        books.answers_given += 1;
        Answer(ledger.clone())
    }

    fn take(self) {
        self.0.books().answers_taken += 1;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.books().answers_open -= 1;
    }
}

impl Books {
    pub(crate) fn fate(&self, source: Source, fate: Fate) -> u64 {
        self.fates.get(&(source, fate)).copied().unwrap_or(0)
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Nothing is under way any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.is_empty() && self.calls_open == 0 && self.answers_open == 0
    }

    /// What must hold at any time, and of what is over.
    pub(crate) fn check(&self) {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        assert!(self.is_settled(), "open: {:?}, {} calls", self.open, self.calls_open);
        assert_eq!(self.outcome(Outcome::Answered), self.answers_taken);
        assert!(self.answers_given >= self.answers_taken);
    }

    /// What must hold when everything that was under way has arrived.
    ///
    /// Each message that was sent, called with or broadcast is one of: handled; back with its
    /// sender; undelivered or dropped at its receiver's core. Of the last the metrics know.
    pub(crate) fn check_metrics(&self, metrics: &Metrics) {
        use Source::{Broadcast, Call, Fork, Send, Timer};
        let sum = |sources: &[Source], fate| -> u64 {
            sources.iter().map(|&source| self.fate(source, fate)).sum()
        };
        let mailed = [Send, Call, Broadcast];
        assert_eq!(sum(&mailed, Fate::Handled), metrics.messages, "handled {:?}", self.fates);
        // A call that is refused where it begins gives no message back; it drops it, and says why.
        // The others that were refused had arrived, and are lost there.
        let refused = metrics.calls_refused;
        assert!(refused <= self.outcome(Outcome::Refused));
        assert!(refused <= self.fate(Call, Fate::Dropped));
        let lost = sum(&mailed, Fate::Dropped) - refused;
        // Expired timers and forked tasks' results wait in the mailbox, too.
        let given_back = sum(&[Send, Call, Broadcast, Timer, Fork], Fate::Undelivered);
        let text = format!("{:?} {:?}", self.fates, self.outcomes);
        assert_eq!(lost + given_back, metrics.messages_undelivered, "undelivered {text}");
    }

    /// Who must have heard of whose end.
    pub(crate) fn check_ends(&self) {
        for (&(watcher, target), watch) in &self.watches {
            let (heard, over) = (watch.heard, self.ended.contains_key(&target));
            let text = format!("{watcher:#} heard {heard} times of {target:#}, over: {over}");
            match (self.alive.contains(&watcher), watch.given_up) {
                (true, false) => assert_eq!(heard, u64::from(over), "{text}"),
                _ => assert!(heard <= u64::from(over), "{text}"),
            }
        }
        let failed = |id| self.ended.get(id).copied().unwrap_or(false);
        for (a, b) in &self.links {
            for (failed, other) in [(failed(a), b), (failed(b), a)] {
                let text = format!("{a:#} and {b:#} are linked, and {other:#} lives");
                assert!(!failed || self.ended.contains_key(other), "{text}");
            }
        }
    }

    /// What has happened, so that a churn that does nothing is seen.
    pub(crate) fn tell(&self) -> String {
        let heard: u64 = self.watches.values().map(|watch| watch.heard).sum();
        format!(
            "{} services ended, {} live; {:?}; {:?}; {heard} ends heard; {} links",
            self.ended.len(),
            self.alive.len(),
            self.fates,
            self.outcomes,
            self.links.len(),
        )
    }
}
