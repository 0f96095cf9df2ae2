//! The tutorial's agent server: welcome, login, echo, quit, as requests of JSON.
//!
//! ```text
//! client                                                            server
//!                             {"status":"ok","message":"Welcome to server"}
//! {"cmd":"login","data":{"username":"alice","password":"..."}}
//!                              {"status":"ok","message":"Login successful"}
//! {"cmd":"echo","data":{"text":"hi"}}            {"status":"ok","echo":"hi"}
//! {"cmd":"quit"}                          {"status":"ok","message":"Goodbye"}
//! ```

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::accounts::Accounts;
use super::accounts::file::PASSWORD_BYTES_MAX;
use crate::limit::{Limit, Prefixes, Rates};
use crate::prelude::*;
use crate::requests::{self, Data, Last, Refusal, Requests};

/// The connection closes behind so many failed logins.
pub const FAILURES_MAX: u32 = 5;
/// What one address may try: 30 logins a minute, 10 at once.
pub const LOGINS: Limit = Limit::new(30, Duration::from_secs(60), 10);
/// Addresses whose logins are remembered at the same time.
const ADDRESSES_MAX: usize = 100_000;

/// What all clients share: who may log in, and how often they may try.
struct Door {
    accounts: Accounts,
    rates: Rates,
}

/// One client.
struct Session {
    door: Arc<Door>,
    failures: u32,
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

#[derive(Serialize)]
struct Echo {
    echo: String,
}

/// An agent server on `listen`, not yet started. Each address may try `logins`; see [`LOGINS`].
pub fn engine(
    config: Config,
    listen: &str,
    framing: Framing,
    accounts: Accounts,
    logins: Limit,
) -> Engine {
    let door = Arc::new(Door { accounts, rates: Rates::new(logins, ADDRESSES_MAX) });
    let requests = Requests::new()
        .on("login", login)
        .on_data("echo", async |_: &mut Session, _client, data: Data<'_>| {
            let data: Text<'_> = data.read()?;
            Ok(Echo { echo: data.text.into_owned() })
        })
        .on("quit", async |_, _client, _: IgnoredAny| Ok(Last(Message { message: "Goodbye" })));
    let agents = requests.agents(move |client| {
        // A client that is gone already needs no welcome.
        let _ = requests::tell(client, &Message { message: "Welcome to server" });
        Session { door: door.clone(), failures: 0 }
    });
    Engine::new(config).gate(listen, Gate::framed(framing).agent(agents))
}

async fn login(session: &mut Session, client: &Client, data: Login) -> Result<Message> {
    let door = &session.door;
    // The address of a Unix socket says nothing about who is there.
    if let Some(address) = client.peer().and_then(|peer| peer.inet()) {
        let network = Prefixes::default().network(address.ip());
        door.rates.take(&network, crate::now(), 1).map_err(|retry| {
            let seconds = retry.duration().unwrap_or_default().as_secs() + 1;
            Refusal::new(format!("Too many logins, try again in {seconds} s"))
        })?;
    }
    let Login { username, password } = data;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Refusal::new("Password too long").into());
    }
    match door.accounts.check(&username, password).await {
        Ok(true) => {
            session.failures = 0;
            tracing::info!(client = %client.id(), name = username, "logged in");
            Ok(Message { message: "Login successful" })
        }
        Ok(false) => {
            session.failures += 1;
            let refusal = Refusal::new("Invalid credentials");
            if session.failures < FAILURES_MAX {
                return Err(refusal.into());
            }
            tracing::warn!(client = %client.id(), peer = ?client.peer(), "too many failed logins");
            Err(refusal.last().into())
        }
        Err(_) => Err(Refusal::new("Server busy").into()),
    }
}
