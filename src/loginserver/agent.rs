//! The agent of one login.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Accounts, LoginServer, Place, Places};
use crate::client::Client;
use crate::clock::Now;
use crate::error::Result;
use crate::gate::Agent;
use crate::login::{Code, LoginError, Name, Offered, Secret, Token, refusal};
use crate::memory::frame::Frame;
use crate::reactor::{JoinHandle, now, random_bytes, sleep, spawn, within};
use crate::service::Local;

/// The time of a login is over.
pub(super) struct TooLate;

pub(super) struct Login<A> {
    server: Arc<LoginServer<A>>,
    places: Arc<Places>,
    door: Local<TooLate>,
    state: State,
}

enum State {
    Silent,
    /// The server's offer was sent.
    Begun(Box<Begun>),
    /// The last frame was sent; the connection closes.
    Over,
}

struct Begun {
    offered: Offered,
    _place: Place,
    until: Now,
    alarm: Alarm,
}

/// Ends with the login: many short ones leave no tasks behind.
struct Alarm(JoinHandle<()>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<A: Accounts> Login<A> {
    pub(super) fn new(
        server: Arc<LoginServer<A>>,
        places: Arc<Places>,
        door: Local<TooLate>,
    ) -> Login<A> {
        Login { server, places, door, state: State::Silent }
    }

    fn begin(&self, hello: &[u8]) -> Result<(Vec<u8>, Box<Begun>), LoginError> {
        let place = Place::take(&self.places).ok_or(LoginError::Refused(Code::Busy))?;
        let random = Zeroizing::new(random_bytes::<64>());
        let (offer, offered) = Offered::answer(hello, &random, self.server.identity.as_deref())?;
        let (time, door) = (self.server.time, self.door.clone());
        let alarm = Alarm(spawn(async move {
            sleep(time).await;
            let _ = door.send(TooLate); // a login that is over does not mind
        }));
        Ok((offer, Box::new(Begun { offered, _place: place, until: now() + time, alarm })))
    }

    async fn finish(
        &self,
        begun: Begun,
        proof: &[u8],
        client: &Client,
    ) -> Result<Vec<u8>, LoginError> {
        let Begun { offered, _place, until, alarm } = begun;
        drop(alarm); // from here on the time is kept by what is awaited
        let (token, deciding) = offered.credentials(proof)?;
        let left = until.since(now());
        let decided = self.decide(&token, deciding.secret(), client, left).await;
        Ok(match decided {
            Ok(name) => deciding.accept(&name),
            Err(code) => deciding.refuse(code),
        })
    }

    async fn decide(
        &self,
        token: &Token,
        secret: &Secret,
        client: &Client,
        left: Duration,
    ) -> Result<Name, Code> {
        let accounts = &self.server.accounts;
        let deciding = async {
            let account = accounts.auth(token, client).await?;
            accounts.login(&account, secret).await
        };
        within(left, deciding).await.unwrap_or(Err(Code::Busy))
    }
}

impl<A: Accounts> Agent<TooLate> for Login<A> {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        let outcome = match std::mem::replace(&mut self.state, State::Over) {
            State::Silent => self.begin(&frame).map(|(offer, begun)| {
                self.state = State::Begun(begun);
                offer
            }),
            State::Begun(begun) => self.finish(*begun, &frame, client).await,
            State::Over => return Ok(()),
        };
        let answer = outcome.unwrap_or_else(|error| {
            tracing::debug!(client = %client.id(), %error, "a login failed");
            refusal(error.code())
        });
        client.send(answer)?;
        if matches!(self.state, State::Over) {
            client.close();
        }
        Ok(())
    }

    async fn message(&mut self, client: &Client, _: TooLate) -> Result<()> {
        if matches!(self.state, State::Begun(_)) {
            self.state = State::Over;
            client.send(refusal(Code::BadRequest))?;
            client.close();
        }
        Ok(())
    }
}
