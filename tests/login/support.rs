//! A server with what happened in it, and a client around a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use skyring::login::{
    Code, Event, Greeted, Identity, LoggedIn, LoginError, Name, PUSH_BYTES_MAX, Requester, Secret,
    Token, Trust,
};
use skyring::loginserver::{Account, Accounts, LoginServer};
use skyring::msgserver::{Ending, MsgServer, Session, User};
use skyring::net::TcpStream;
use skyring::prelude::*;
use skyring::{Result, random_bytes};

pub(crate) const LOGIN: &str = "127.0.0.1:8001";
pub(crate) const GAMES: &str = "127.0.0.1:8888";

/// What happened in the server.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

pub(crate) fn identity() -> Identity {
    Identity::from_seed([9; 32])
}

pub(crate) fn trust() -> Trust {
    Trust::Pinned(vec![identity().public()])
}

/// Answers requests with themselves; some words do more.
pub(crate) struct Player {
    log: Log,
}

impl Player {
    fn note(&self, text: impl Into<String>) {
        self.log.lock().expect("nobody panics with it").push(text.into());
    }
}

impl User for Player {
    async fn request(&mut self, request: Bytes, session: &Session) -> Result<Bytes> {
        let text = String::from_utf8_lossy(&request).into_owned();
        self.note(&text);
        match text.split(' ').next() {
            Some("slow") => sleep(Duration::from_secs(2)).await,
            Some("hang") => sleep(Duration::from_secs(3600)).await,
            Some("fail") => return Err("told to fail".into()),
            Some("panic") => panic!("told to panic"),
            Some("push") => session.push(b"news")?,
            Some("long-push") => {
                session.push(&vec![1; PUSH_BYTES_MAX])?;
                assert!(session.push(&vec![1; PUSH_BYTES_MAX + 1]).is_err());
            }
            Some("logout") => session.logout(),
            Some("large") => return Ok(vec![0; 70_000].into()),
            _ => {}
        }
        Ok(request)
    }

    async fn connected(&mut self, _session: &Session) {
        self.note("connected");
    }

    async fn lost(&mut self, _session: &Session) {
        self.note("lost");
    }

    async fn ended(&mut self, why: Ending, session: &Session) {
        self.note(format!("{} {why}", session.name().user()));
    }
}

/// Lets everybody in who knows the password.
pub(crate) struct Passwords(pub(crate) MsgServer<Player>);

impl Accounts for Passwords {
    async fn auth(&self, token: &Token, _client: &Client) -> Result<Account, Code> {
        let text = str::from_utf8(token.as_bytes()).map_err(|_| Code::Unauthorized)?;
        let (user, password) = text.split_once(':').ok_or(Code::Unauthorized)?;
        match password {
            "secret" => Ok(Account { user: user.into(), server: "games".into() }),
            "slow" => {
                sleep(Duration::from_secs(3600)).await;
                Err(Code::Unauthorized)
            }
            _ => Err(Code::Unauthorized),
        }
    }

    async fn login(&self, account: &Account, secret: &Secret) -> Result<Name, Code> {
        self.0.open(&account.user, secret).await
    }
}

/// A message server of players that note what happens.
pub(crate) fn games(log: &Log) -> MsgServer<Player> {
    let log = log.clone();
    MsgServer::new("games", move |_session| Player { log: log.clone() })
}

pub(crate) fn engine(games: &MsgServer<Player>, login: LoginServer<Passwords>) -> Engine {
    Engine::new(Config::new().cores(2)).gate(LOGIN, login.gate()).gate(GAMES, games.gate())
}

pub(crate) fn login_server(games: &MsgServer<Player>) -> LoginServer<Passwords> {
    LoginServer::new(Passwords(games.clone())).identity(identity())
}

pub(crate) fn noted(log: &Log) -> Vec<String> {
    log.lock().expect("nobody panics with it").clone()
}

pub(crate) async fn write(stream: &TcpStream, frame: &[u8]) -> Result<()> {
    stream.write(&(frame.len() as u16).to_be_bytes())?;
    stream.write(frame)?;
    Ok(())
}

/// The next frame; an error when the stream ends.
pub(crate) async fn read(stream: &TcpStream) -> Result<Vec<u8>> {
    let head = stream.read_exact(2).await?;
    let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
    Ok(stream.read_exact(len).await?.to_vec())
}

pub(crate) async fn ends(stream: &TcpStream) -> bool {
    let end = within(Duration::from_secs(30), stream.read()).await;
    matches!(end, Ok(Ok(None) | Err(_)))
}

/// Logs in by one connection.
pub(crate) async fn login(token: &str) -> Result<Result<LoggedIn, LoginError>> {
    login_at(LOGIN, token).await
}

pub(crate) async fn login_at(server: &str, token: &str) -> Result<Result<LoggedIn, LoginError>> {
    let stream = TcpStream::connect(server).await?;
    let (hello, client) = Greeted::hello(random_bytes(), trust());
    write(&stream, &hello).await?;
    let (proof, client) = match client.prove(&read(&stream).await?, token.as_bytes()) {
        Ok(going_on) => going_on,
        Err(error) => return Ok(Err(error)),
    };
    write(&stream, &proof).await?;
    let result = client.result(&read(&stream).await?);
    assert!(ends(&stream).await, "the server closes");
    Ok(result)
}

/// A session's client on a connection.
pub(crate) async fn resume(client: &mut Requester) -> Result<Result<TcpStream, LoginError>> {
    resume_at(GAMES, client).await
}

pub(crate) async fn resume_at(
    server: &str,
    client: &mut Requester,
) -> Result<Result<TcpStream, LoginError>> {
    let stream = TcpStream::connect(server).await?;
    write(&stream, &client.resume()?).await?;
    let answer = read(&stream).await?;
    Ok(client.receive(&answer).map(|event| {
        assert_eq!(event, Some(Event::Resumed));
        stream
    }))
}

/// Logs in and connects.
pub(crate) async fn enter(user: &str) -> Result<(Requester, TcpStream)> {
    let session = login(&format!("{user}:secret")).await?.map_err(Error::from)?;
    let mut client = Requester::new(session);
    let stream = resume(&mut client).await?.map_err(Error::from)?;
    Ok((client, stream))
}

pub(crate) async fn send_all(client: &mut Requester, stream: &TcpStream) -> Result<()> {
    while let Some(frame) = client.poll_send() {
        write(stream, &frame).await?;
    }
    Ok(())
}

/// The next event that is one.
pub(crate) async fn event(client: &mut Requester, stream: &TcpStream) -> Result<Event> {
    loop {
        if let Some(event) = client.receive(&read(stream).await?)? {
            return Ok(event);
        }
    }
}

/// Asks one thing and waits for its reply.
pub(crate) async fn ask(
    client: &mut Requester,
    stream: &TcpStream,
    text: &str,
) -> Result<(Code, Bytes)> {
    let asked = client.request(text.as_bytes())?;
    send_all(client, stream).await?;
    match event(client, stream).await? {
        Event::Reply { number, code, payload } if number == asked => Ok((code, payload)),
        other => Err(format!("{other:?}").into()),
    }
}
