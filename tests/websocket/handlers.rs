//! Handlers: services of sockets, that hear their clients and their colleagues.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use skyring::Core;
use skyring::http::{Refusal, Request, Router};
use skyring::prelude::*;
use skyring::service::{Group, Shared};
use skyring::sim::Simulation;
use skyring::websocket::{
    self, Close, Handler, Message, Options, Prepared, Socket, SocketError, WebSocket,
};

type Said = Shared<Prepared>;

/// A guest of one room; what happens to it is noted.
struct Guest {
    room: Group<Prepared>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Guest {
    fn note(&self, text: impl Into<String>) {
        self.seen.borrow_mut().push(text.into());
    }
}

impl Handler<Said> for Guest {
    fn handshake(&mut self, request: &Request) -> Result<()> {
        let name = request.query_value("name").ok_or(Refusal::new(401, "Who are you?"))?;
        self.note(format!("asked {name}"));
        Ok(())
    }

    async fn connected(&mut self, socket: &Socket<Said>) -> Result<()> {
        self.note("connected");
        socket.cx().join(self.room, |said| said);
        Ok(())
    }

    async fn message(&mut self, socket: &Socket<Said>, message: Message) -> Result<()> {
        match message.as_text() {
            Some("fail") => return Err("as it was told".into()),
            Some("panic") => panic!("as it was told"),
            Some("leave") => socket.begin_close(4000, "you have said so"),
            Some("stop") => socket.cx().stop(),
            _ => self.room.broadcast(Prepared::new(message))?,
        }
        Ok(())
    }

    async fn command(&mut self, socket: &Socket<Said>, said: Said) -> Result<()> {
        Ok(socket.send(&*said)?)
    }

    async fn ping(&mut self, _: &Socket<Said>, payload: &[u8]) -> Result<()> {
        self.note(format!("ping {}", payload.escape_ascii()));
        Ok(())
    }

    async fn closed(&mut self, _: &Socket<Said>, close: Close) {
        self.note(close.to_string());
    }

    async fn error(&mut self, _: &Socket<Said>, error: SocketError) {
        self.note(error.to_string());
    }
}

fn rooms(seen: Rc<RefCell<Vec<String>>>, room: Group<Prepared>) -> Router {
    Router::new().get("/room", async move |request| {
        let guest = Guest { room, seen: seen.clone() };
        websocket::serve(request, &Options::new().origin("https://a.example"), guest)
    })
}

async fn join(name: &str) -> Result<WebSocket> {
    Ok(websocket::connect(format!("ws://127.0.0.1/room?name={name}")).await?)
}

async fn hear(ws: &WebSocket) -> Result<String> {
    let message = ws.read().await?.ok_or("it has closed")?;
    Ok(message.as_text().ok_or("no text")?.to_owned())
}

/// Runs a client against a server of one core; what its handlers have seen.
fn run<F: Future<Output = Result<()>> + 'static>(client: F) -> Vec<String> {
    let mut sim = Simulation::new(3);
    // A simulation is one thread, whatever the router may be sent to.
    thread_local! {
        static SEEN: Rc<RefCell<Vec<String>>> = Rc::default();
    }
    SEEN.with(|seen| seen.borrow_mut().clear());
    let make = |_: &Core| rooms(SEEN.with(Rc::clone), Group::new());
    sim.start(Engine::new(Config::new().cores(1)).http("127.0.0.1:80", make)).expect("it starts");
    sim.run(client).expect("nobody hangs").expect("it converses");
    sim.stop().expect("a clean end");
    SEEN.with(|seen| seen.borrow().clone())
}

/// Guests of one room talk; how often a message was encoded.
fn encodings(cores: usize, guests: usize) -> u64 {
    let mut sim = Simulation::new(1);
    // The first core makes the room.
    let room = Mutex::new(None);
    let make = move |_: &Core| {
        let room = *room.lock().expect("no panic").get_or_insert_with(Group::new);
        rooms(Rc::default(), room)
    };
    let config = Config::new().cores(cores);
    sim.start(Engine::new(config).http("127.0.0.1:80", make)).expect("it starts");
    let talk = async move {
        let mut all = Vec::new();
        for n in 0..guests {
            all.push(join(&n.to_string()).await?);
        }
        sleep(Duration::from_millis(10)).await; // all have joined
        for (n, guest) in all.iter().enumerate() {
            let text = format!("{n}: {}", "hello ".repeat(n * 20));
            guest.send(&text)?;
            for one in &all {
                assert_eq!(hear(one).await?, text);
            }
        }
        Ok::<(), Error>(())
    };
    sim.run(talk).expect("nobody hangs").expect("it converses");
    let encodings = sim.metrics().websocket_encodings;
    sim.stop().expect("a clean end");
    encodings
}

#[test]
fn what_one_says_all_hear_and_it_is_encoded_once_a_core() {
    assert_eq!(encodings(1, 50), 50);
    assert_eq!(encodings(2, 50), 100);
}

#[test]
fn a_handler_sees_the_request_and_may_refuse_unless_its_origin_does() {
    let seen = run(async {
        let refused = websocket::connect("ws://127.0.0.1/room").await;
        let text = refused.expect_err("it is refused").to_string();
        assert!(text.contains("401"), "{text}");
        let foreign = "ws://127.0.0.1/room?name=eve";
        let refused = websocket::connect(foreign).origin("https://b.example").await;
        let text = refused.expect_err("no page of theirs").to_string();
        assert!(text.contains("403"), "{text}");
        let guest = join("ann").await?;
        guest.ping(b"here")?;
        guest.send("hello")?;
        assert_eq!(hear(&guest).await?, "hello");
        guest.close(3000, "bye").await?;
        Ok(())
    });
    assert_eq!(seen, ["asked ann", "connected", "ping here", "closed with code 3000: bye"]);
}

#[test]
fn the_end_of_a_handler_tells_its_client_why() {
    let seen = run(async {
        for (word, code) in [("fail", 1011), ("panic", 1011), ("leave", 4000), ("stop", 1000)] {
            let guest = join(word).await?;
            guest.send(word)?;
            assert!(guest.read().await?.is_none());
            assert_eq!(guest.closed_with().map(|close| close.code), Some(code), "{word}");
        }
        Ok(())
    });
    assert!(seen.contains(&"closed with code 4000".to_owned()), "{seen:?}");
}

#[test]
fn a_client_that_is_gone_is_an_error() {
    let seen = run(async {
        let guest = join("ann").await?;
        guest.stream().shutdown();
        drop(guest);
        let guest = join("bob").await?;
        guest.stream().finish();
        assert!(guest.read().await.is_err(), "the server closes, too");
        sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let ends: Vec<&String> = seen.iter().filter(|text| text.contains("onnection")).collect();
    assert_eq!(ends.len(), 2, "{seen:?}");
}

#[test]
fn guests_are_told_when_the_engine_stops() {
    let mut sim = Simulation::new(1);
    let make = |_: &Core| rooms(Rc::default(), Group::new());
    sim.start(Engine::new(Config::new().cores(1)).http("127.0.0.1:80", make)).expect("it starts");
    let told = Rc::new(RefCell::new(Vec::new()));
    let notes = told.clone();
    let stay = async move {
        for n in 0..3 {
            let (guest, notes) = (join(&n.to_string()).await?, notes.clone());
            spawn(async move {
                let ended = guest.read().await.map(|read| read.is_none());
                notes.borrow_mut().push((ended.ok(), guest.closed_with().map(|close| close.code)));
            });
        }
        Ok::<(), Error>(())
    };
    sim.run(stay).expect("nobody hangs").expect("it converses");
    sim.stop().expect("a clean end");
    // Both ends stop at once here, and each tells the other.
    assert_eq!(told.borrow()[..], [(Some(true), Some(1001)); 3]);
}
