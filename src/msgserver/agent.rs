//! The agent of one connection: the first frame is a resume, the others are requests.

use std::time::Duration;

use super::MsgServer;
use super::message::{ToRegistry, ToSeat, ToSession};
use super::seat::{Seat, ToAgent};
use super::user::User;
use crate::client::Client;
use crate::error::Result;
use crate::gate::Agent;
use crate::login::{Code, resume_refusal};
use crate::memory::frame::Frame;
use crate::service::{self, Address, Local};

/// Bytes of requests that a connection sends ahead before it asks the session whether it keeps up.
const AHEAD_BYTES: usize = 64 * 1024;

pub(super) struct Connection<U: User> {
    server: MsgServer<U>,
    door: Local<ToAgent>,
    seat: Option<Taken>,
    session: Option<Attached>,
}

struct Attached {
    session: Address<ToSession>,
    index: u32,
    /// Bytes of requests since the session said that it keeps up.
    ahead: usize,
    /// How long the session may take for one request.
    patience: Duration,
}

/// A seat that is left when the agent goes, however it does.
struct Taken(Address<ToSeat>);

impl Drop for Taken {
    fn drop(&mut self) {
        service::stop(self.0);
    }
}

impl<U: User> Connection<U> {
    pub(super) fn new(server: MsgServer<U>, door: Local<ToAgent>) -> Connection<U> {
        Connection { server, door, seat: None, session: None }
    }

    async fn resume(&mut self, client: &Client, frame: Frame) -> Result<()> {
        let seat = service::spawn(Seat { agent: self.door.clone() })?;
        self.seat = Some(Taken(seat));
        let registry = self.server.registry().await;
        let frame = frame.into_bytes();
        let resumed = match registry {
            Ok(registry) => {
                registry.call(|reply| ToRegistry::Resume(frame, seat, reply)).await.ok()
            }
            Err(_) => None,
        };
        let Some(resumed) = resumed else {
            client.send(resume_refusal(Code::Busy))?;
            client.close();
            return Ok(());
        };
        client.send(resumed.answer)?;
        let Some((session, index)) = resumed.session else {
            tracing::debug!(client = %client.id(), "a resume was refused");
            client.close();
            return Ok(());
        };
        session.send(ToSession::Attach(index, seat))?;
        self.session =
            Some(Attached { session, index, ahead: 0, patience: self.server.request_time_max() });
        Ok(())
    }
}

impl Attached {
    /// An error closes the connection; the client comes back and asks again what was not answered.
    async fn request(&mut self, frame: Frame) -> Result<()> {
        self.ahead += frame.len();
        self.session.send(ToSession::Request(self.index, frame.into_bytes()))?;
        if self.ahead >= AHEAD_BYTES {
            let index = self.index;
            let pace = self.session.call(|reply| ToSession::Pace(index, reply));
            pace.timeout(self.patience).await?;
            self.ahead = 0;
        }
        Ok(())
    }
}

impl<U: User> Agent<ToAgent> for Connection<U> {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        match (&mut self.session, &self.seat) {
            (Some(session), _) => session.request(frame).await,
            (None, None) => self.resume(client, frame).await,
            (None, Some(_)) => Ok(()), // refused; it closes
        }
    }

    async fn message(&mut self, client: &Client, message: ToAgent) -> Result<()> {
        match message {
            ToAgent::Frame(frame) => client.send(frame)?,
            ToAgent::Close => client.close(),
        }
        Ok(())
    }
}
