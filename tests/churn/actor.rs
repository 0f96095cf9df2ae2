//! Services that do to each other whatever the dice say.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skyring::prelude::*;
use skyring::service::{
    Address, Context, Down, Group, Reason, Reply, Service, ServiceId, Timer, Undelivered,
};

use crate::acts;
use crate::ledger::{Answer, Fate, Ledger, Source, Token};

/// What all services of a churn know.
pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    /// Addresses of the living, and of some of the dead.
    pub(crate) known: Mutex<Vec<Address<Message>>>,
    pub(crate) groups: Mutex<Vec<Group<u32>>>,
    pub(crate) cores: usize,
    /// Actions that are left; none when the churn is over.
    pub(crate) actions: AtomicI64,
    pub(crate) over: AtomicBool,
    seed: AtomicU64,
}

impl World {
    pub(crate) fn new(seed: u64, cores: usize, actions: i64) -> Arc<World> {
        Arc::new(World {
            ledger: Arc::default(),
            known: Mutex::default(),
            groups: Mutex::default(),
            cores,
            actions: AtomicI64::new(actions),
            over: AtomicBool::new(false),
            seed: AtomicU64::new(seed),
        })
    }

    pub(crate) fn dice(&self) -> Dice {
        let seed = self.seed.fetch_add(0x1_0000, Ordering::Relaxed);
        Dice(Dice(seed).next())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.actions.load(Ordering::Relaxed) <= 0
    }

    fn enter(&self, address: Address<Message>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    pub(crate) fn anybody(&self, dice: &mut Dice) -> Option<Address<Message>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (!known.is_empty()).then(|| known[dice.below(known.len() as u64) as usize])
    }

    pub(crate) fn message(&self, source: Source, what: What) -> Message {
        Message { token: Token::open(&self.ledger, source), what }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn ms(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

pub(crate) struct Message {
    pub(crate) token: Token,
    pub(crate) what: What,
}

pub(crate) enum What {
    /// Nothing to do.
    Note,
    /// Do something at random; so many more may follow from it.
    Act(u32),
    Ask(Reply<Answer>),
}

pub(crate) struct Actor {
    pub(crate) world: Arc<World>,
    pub(crate) dice: Dice,
    pub(crate) id: Option<ServiceId>,
    /// Ended in order, as far as it knows.
    orderly: bool,
    /// Whom it has ever watched.
    pub(crate) watched: BTreeSet<ServiceId>,
    pub(crate) linked: Vec<ServiceId>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) kept: Vec<Reply<Answer>>,
}

impl Actor {
    pub(crate) fn new(world: &Arc<World>) -> Actor {
        Actor {
            dice: world.dice(),
            world: world.clone(),
            id: None,
            orderly: false,
            watched: BTreeSet::new(),
            linked: Vec::new(),
            timers: Vec::new(),
            kept: Vec::new(),
        }
    }

    async fn answer(&mut self, reply: Reply<Answer>) -> Result<()> {
        let ledger = &self.world.ledger;
        match self.dice.below(12) {
            0 => drop(reply),
            1 => self.kept.push(reply),
            2 => return Err("told: with a reply in its hands".into()),
            3 => panic!("told: with a reply in its hands"),
            4 | 5 => {
                sleep(self.dice.ms(30)).await;
                reply.send(Answer::give(ledger));
            }
            6 | 7 => {
                let Some(other) = self.world.anybody(&mut self.dice) else { return Ok(()) };
                let message = self.world.message(Source::Send, What::Ask(reply));
                acts::put(other.send(message));
            }
            _ => reply.send(Answer::give(ledger)),
        }
        Ok(())
    }
}

impl Service for Actor {
    type Message = Message;

    async fn started(&mut self, cx: &Context<Self>) -> Result<()> {
        self.id = Some(cx.id());
        self.world.ledger.begin(cx.id());
        self.world.enter(cx.address());
        match self.dice.below(60) {
            0 => panic!("told: when it started"),
            1 => Err("told: when it started".into()),
            2 => {
                cx.stop();
                Ok(())
            }
            3 => {
                sleep(self.dice.ms(10)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn handle(&mut self, message: Message, cx: &Context<Self>) -> Result<()> {
        let Message { token, what } = message;
        token.close(Fate::Handled);
        match what {
            What::Note => Ok(()),
            What::Ask(reply) => self.answer(reply).await,
            What::Act(_) if self.world.is_over() => Ok(()),
            What::Act(more) => {
                self.world.actions.fetch_sub(1, Ordering::Relaxed);
                acts::act(self, more, cx).await
            }
        }
    }

    async fn down(&mut self, down: Down, cx: &Context<Self>) -> Result<()> {
        self.world.ledger.heard(cx.id(), down.service);
        if self.dice.one_in(20) {
            return Err("told: when another ended".into());
        }
        Ok(())
    }

    async fn stopped(&mut self, why: &Reason, _: &Context<Self>) {
        assert!(!self.dice.one_in(20), "told: when it stopped");
        if self.dice.one_in(4) {
            sleep(self.dice.ms(5)).await;
        }
        self.orderly = why.is_orderly();
    }

    fn on_undelivered(undelivered: Undelivered<Message>) {
        undelivered.into_message().token.close(Fate::Undelivered);
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.world.ledger.end(id, self.orderly);
            if !self.dice.one_in(8) {
                let mut known = self.world.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.retain(|address| address.id() != id);
            }
        }
        assert!(!self.dice.one_in(30), "told: when it was dropped");
    }
}
