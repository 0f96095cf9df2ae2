//! All sessions of a message server: who has which, on which connection, until when.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use super::code::Code;
use super::name::{Name, NameError};
use super::resume::{Resume, resume_refusal};
use super::secret::Secret;
use crate::clock::Now;

/// How long a session without a connection lives, unless it is set otherwise.
pub const SESSION_KEEP: Duration = Duration::from_secs(60);

/// Sessions of a message server, unless it is set otherwise.
pub const SESSIONS_MAX: usize = 100_000;

/// What becomes of a login of a user who has a session already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logins {
    /// It ends the session there is. Somebody who lost his device can log in at once.
    #[default]
    Replace,
    /// It is refused by 406 as long as there is one.
    Refuse,
    /// It begins one more session (Skynet's `multilogin`).
    Many,
}

/// How a message server keeps sessions.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a session without a connection lives.
    pub keep: Duration,
    /// Sessions at a time.
    pub sessions_max: usize,
    /// What becomes of a second login.
    pub logins: Logins,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { keep: SESSION_KEEP, sessions_max: SESSIONS_MAX, logins: Logins::Replace }
    }
}

/// The sessions of one message server: a table without sockets and without a clock. `C` names a
/// connection.
///
/// ```text
///   open ──▶ waits ──resume──▶ connected ──lost──▶ waits ──keep──▶ ended
///              └─keep─▶ ended     └─resume: the newest connection has it
/// ```
pub struct Sessions<C> {
    server: Box<str>,
    limits: Limits,
    by_subid: HashMap<u64, Session<C>>,
    by_user: HashMap<Box<str>, Vec<u64>>,
    /// Those that wait for a connection, by the moment of their end.
    waiting: BTreeSet<(Now, u64)>,
}

struct Session<C> {
    name: Name,
    secret: Secret,
    /// The highest index that was used; 0 is none.
    index: u32,
    place: Place<C>,
}

enum Place<C> {
    Waits { until: Now },
    Connected(C),
}

/// A session that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<C> {
    /// Its name.
    pub name: Name,
    /// The connection that it was on; to be closed.
    pub connection: Option<C>,
}

/// What becomes of a connection that asks for a session.
#[derive(Debug, PartialEq, Eq)]
pub struct Resumed<C> {
    /// The frame to send.
    pub answer: Vec<u8>,
    /// What the connection has from now on, or why it has nothing: close it then.
    pub outcome: Result<Attached<C>, Code>,
}

/// A connection has a session.
#[derive(Debug, PartialEq, Eq)]
pub struct Attached<C> {
    /// The session.
    pub name: Name,
    /// The connection's index within it: higher than that of all before.
    pub index: u32,
    /// The connection that had it until now; to be closed.
    pub before: Option<C>,
}

impl<C: Copy + Eq> Sessions<C> {
    /// An empty table for the server of this name.
    ///
    /// # Errors
    /// [`NameError`]: of the server.
    pub fn new(server: &str, limits: Limits) -> Result<Sessions<C>, NameError> {
        Name::new("user", server, 0)?;
        Ok(Sessions {
            server: server.into(),
            limits,
            by_subid: HashMap::new(),
            by_user: HashMap::new(),
            waiting: BTreeSet::new(),
        })
    }

    /// Begins a session for a user who has logged in, and ends those that it replaces. `random` is
    /// a number that nobody can foresee, which becomes its subid: so nobody finds out by trying who
    /// is logged in.
    ///
    /// # Errors
    /// [`Code::NotAcceptable`], [`Code::Busy`] when the table is full, and [`Code::Forbidden`] for
    /// a user whose name cannot be.
    pub fn open(
        &mut self,
        user: &str,
        secret: Secret,
        random: u64,
        now: Now,
    ) -> Result<(Name, Vec<Ended<C>>), Code> {
        let mut subid = random;
        while self.by_subid.contains_key(&subid) {
            subid = subid.wrapping_add(1);
        }
        let name = Name::new(user, &self.server, subid).map_err(|_| Code::Forbidden)?;
        let others = self.by_user.get(user).map_or(&[][..], |subids| subids);
        let replaced = match self.limits.logins {
            Logins::Refuse if others.iter().any(|other| !self.is_over(*other, now)) => {
                return Err(Code::NotAcceptable);
            }
            Logins::Many => Vec::new(),
            Logins::Refuse | Logins::Replace => others.to_vec(),
        };
        if self.by_subid.len() - replaced.len() >= self.limits.sessions_max {
            return Err(Code::Busy);
        }
        let ended = replaced.into_iter().filter_map(|subid| self.end(subid)).collect();
        let until = now + self.limits.keep;
        self.waiting.insert((until, subid));
        let session =
            Session { name: name.clone(), secret, index: 0, place: Place::Waits { until } };
        self.by_subid.insert(subid, session);
        self.by_user.entry(user.into()).or_default().push(subid);
        Ok((name, ended))
    }

    /// A connection sent its first frame. The proof is looked at before the index, so that nobody
    /// without the secret learns anything of a session.
    pub fn resume(&mut self, frame: &[u8], connection: C, now: Now) -> Resumed<C> {
        let outcome = self.attach(frame, connection, now);
        let (answer, outcome) = match outcome {
            Ok((answer, attached)) => (answer, Ok(attached)),
            Err(code) => (resume_refusal(code), Err(code)),
        };
        Resumed { answer, outcome }
    }

    fn attach(
        &mut self,
        frame: &[u8],
        connection: C,
        now: Now,
    ) -> Result<(Vec<u8>, Attached<C>), Code> {
        let resume = Resume::read(frame).ok_or(Code::BadRequest)?;
        let subid = resume.name.subid();
        if self.is_over(subid, now) {
            return Err(Code::NotFound);
        }
        let session = self.by_subid.get_mut(&subid);
        let session = session.filter(|it| it.name == resume.name).ok_or(Code::NotFound)?;
        if !resume.is_proved(&session.secret) {
            return Err(Code::Unauthorized);
        }
        if resume.index <= session.index {
            return Err(Code::Forbidden);
        }
        session.index = resume.index;
        let before = match std::mem::replace(&mut session.place, Place::Connected(connection)) {
            Place::Connected(before) => Some(before),
            Place::Waits { until } => {
                self.waiting.remove(&(until, subid));
                None
            }
        };
        let answer = resume.accept(&session.secret);
        let Resume { name, index, .. } = resume;
        Ok((answer, Attached { name, index, before }))
    }

    /// A connection is gone. Whether its session waits for another one from now on: it does not
    /// if another one has it already.
    pub fn lost(&mut self, subid: u64, connection: C, now: Now) -> bool {
        let Some(session) = self.by_subid.get_mut(&subid) else { return false };
        if !matches!(session.place, Place::Connected(it) if it == connection) {
            return false;
        }
        let until = now + self.limits.keep;
        session.place = Place::Waits { until };
        self.waiting.insert((until, subid));
        true
    }

    /// Ends a session: a logout.
    pub fn end(&mut self, subid: u64) -> Option<Ended<C>> {
        let Session { name, place, .. } = self.by_subid.remove(&subid)?;
        if let Some(subids) = self.by_user.get_mut(name.user()) {
            subids.retain(|other| *other != subid);
            if subids.is_empty() {
                self.by_user.remove(name.user());
            }
        }
        let connection = match place {
            Place::Connected(connection) => Some(connection),
            Place::Waits { until } => {
                self.waiting.remove(&(until, subid));
                None
            }
        };
        Some(Ended { name, connection })
    }

    /// Ends one session that has waited long enough, if there is one. Call it until there is none.
    pub fn expire(&mut self, now: Now) -> Option<Ended<C>> {
        let (_, subid) = self.waiting.first().copied().filter(|(until, _)| *until <= now)?;
        self.end(subid)
    }

    /// When [`Sessions::expire`] has something to do next.
    pub fn next_expiry(&self) -> Option<Now> {
        self.waiting.first().map(|(until, _)| *until)
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.by_subid.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_subid.is_empty()
    }

    fn is_over(&self, subid: u64, now: Now) -> bool {
        let session = self.by_subid.get(&subid);
        session.is_some_and(|it| matches!(it.place, Place::Waits { until } if until <= now))
    }
}

impl<C> fmt::Debug for Sessions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, waiting) = (self.by_subid.len(), self.waiting.len());
        write!(f, "Sessions({}: {all}, {waiting} of them wait)", self.server)
    }
}
