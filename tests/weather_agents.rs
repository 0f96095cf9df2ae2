//! Bad weather: agents that panic, fail, lag, hold on to things or close at the wrong moment.

mod common;

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Server, config, converse, deadline, eventually, is_ended, read_end, read_u16, u16_frame,
};
use skyring::SendError;
use skyring::prelude::*;

/// Does what the first byte of a frame says.
struct Moody {
    kept: Option<Client>,
    drop_panics: bool,
    end_panics: bool,
    heard: Heard,
}

/// What agents heard last, in order.
type Heard = Arc<Mutex<Vec<String>>>;

impl Agent<Bomb> for Moody {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        match frame.first() {
            Some(b'p') => panic!("an agent panics in `frame`"),
            Some(b'P') => std::panic::panic_any(Bomb),
            Some(b'd') => self.drop_panics = true,
            Some(b'e') => self.end_panics = true,
            Some(b'E') => return Err("an agent has had enough".into()),
            Some(b'c') => client.close(),
            Some(b'k') => client.kick(),
            Some(b's') => {
                client.close();
                assert_eq!(refusal(client.send("late")), Some(SendError::Closed));
                return Ok(());
            }
            Some(b'K') => self.kept = Some(client.clone()),
            Some(b'w') => sleep(Duration::from_millis(30)).await,
            _ => {}
        }
        // After a close it is refused, and this agent does not care.
        let _ = client.send(frame);
        Ok(())
    }

    async fn disconnected(&mut self, client: &Client, why: Disconnect) {
        self.heard.lock().expect("no panic under it").push(format!("{why:?}"));
        assert!(!self.end_panics, "an agent panics in `disconnected`");
        let _ = client.send("bye");
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        if let Some(client) = &self.kept {
            let refused = refusal(client.send("from the grave"));
            self.heard.lock().expect("no panic under it").push(format!("dropped: {refused:?}"));
        }
        assert!(!self.drop_panics, "an agent panics in its `drop`");
    }
}

/// A message, or a panic's payload, that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb goes off");
    }
}

fn refusal(sent: Result<()>) -> Option<SendError> {
    match sent {
        Err(Error::Send(error)) => Some(error),
        Err(other) => panic!("another error: {other}"),
        Ok(()) => None,
    }
}

fn moody() -> (Server, Heard) {
    let heard = Heard::default();
    let ears = heard.clone();
    let gate = Gate::framed(LengthPrefix::U16).agent_with(move |_, _| Moody {
        kept: None,
        drop_panics: false,
        end_panics: false,
        heard: ears.clone(),
    });
    (Server::start(config(), gate), heard)
}

/// Sends one frame for each word, ends, and reads the answers until the end.
fn say(server: &Server, words: &[&str]) -> Vec<String> {
    let wire: Vec<u8> = words.iter().flat_map(|word| u16_frame(word.as_bytes())).collect();
    let answer = converse(server.address, &wire).expect("an orderly end");
    let mut answer = &answer[..];
    let mut words = Vec::new();
    while !answer.is_empty() {
        words.push(String::from_utf8(read_u16(&mut answer).expect("whole frames")).expect("text"));
    }
    words
}

#[test]
fn a_panic_in_any_handler_ends_one_client_and_is_counted() {
    deadline(|| {
        let (server, _) = moody();
        let mut innocent = server.connect();
        let mut panics = 0;
        for (words, answer) in [
            (&["1", "2", "panic", "3"][..], &["1", "2"][..]),
            (&["1", "end"], &["1", "end"]),
            (&["1", "drop"], &["1", "drop", "bye"]),
        ] {
            assert_eq!(say(&server, words), answer, "what was queued leaves");
            panics += 1;
            eventually("the panic is counted", || server.metrics().panics >= panics);
            assert_eq!(server.metrics().panics, panics, "{words:?}");
            innocent.write_all(&u16_frame(b"x")).expect("written");
            assert_eq!(read_u16(&mut innocent).expect("answered"), b"x");
        }
        drop(innocent);
        server.settle();
        assert_eq!(server.metrics().frames_undelivered, 1, "the frame behind the panic");
        server.stop();
    });
}

#[test]
fn a_drop_that_panics_while_its_agent_unwinds_does_not_abort() {
    deadline(|| {
        let (server, _) = moody();
        assert_eq!(say(&server, &["drop", "panic"]), ["drop"]);
        server.is_well();
        assert!(server.metrics().panics >= 1);
        server.stop();
    });
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_ends_one_client() {
    deadline(|| {
        let (server, _) = moody();
        assert_eq!(say(&server, &["1", "Payload"]), ["1"]);
        server.is_well();
        assert_eq!(server.metrics().panics, 1);
        server.stop();
    });
}

#[test]
fn messages_that_panic_when_dropped_are_survived_by_all() {
    /// Fills its own mailbox with bombs, then panics or fails.
    struct Armed {
        door: Local<Bomb>,
    }
    impl Agent<Bomb> for Armed {
        async fn frame(&mut self, _: &Client, frame: Frame) -> Result<()> {
            for _ in 0..3 {
                if let Err(undelivered) = self.door.send(Bomb) {
                    std::mem::forget(undelivered.into_message());
                }
            }
            assert_ne!(frame.first(), Some(&b'p'), "an agent panics over bombs");
            Err("an agent fails over bombs".into())
        }
    }
    deadline(|| {
        let gate =
            Gate::framed(LengthPrefix::U16).agent_with(|_, door: Local<Bomb>| Armed { door });
        let server = Server::start(config(), gate);
        for (word, panics) in [("panic", 4), ("fail", 7)] {
            let mut stream = server.connect();
            stream.write_all(&u16_frame(word.as_bytes())).expect("written");
            assert!(is_ended(&mut stream));
            eventually("each panic is counted", || server.metrics().panics == panics);
        }
        server.settle();
        server.stop();
    });
}

#[test]
fn a_maker_that_panics_closes_the_connection_and_nothing_else() {
    deadline(|| {
        let made = AtomicUsize::new(0);
        let gate = Gate::framed(LengthPrefix::U16).agent(move |_| {
            assert!(made.fetch_add(1, Ordering::Relaxed) % 2 == 1, "a maker panics");
            common::Echo
        });
        let server = Server::start(config(), gate);
        for round in 1..=5 {
            let mut unlucky = server.connect();
            unlucky.write_all(&u16_frame(b"hello?")).expect("written");
            assert!(is_ended(&mut unlucky));
            server.is_well();
            assert_eq!(server.metrics().panics, round);
        }
        server.settle();
        server.stop();
    });
}

#[test]
fn a_maker_may_greet_close_and_kick() {
    /// Remembers its end.
    struct Brief(Heard);
    impl Agent for Brief {
        async fn frame(&mut self, _: &Client, _: Frame) -> Result<()> {
            Ok(())
        }
        async fn disconnected(&mut self, _: &Client, why: Disconnect) {
            self.0.lock().expect("no panic under it").push(format!("{why:?}"));
        }
    }
    impl Drop for Brief {
        fn drop(&mut self) {
            self.0.lock().expect("no panic under it").push("dropped".into());
        }
    }
    deadline(|| {
        for way in ["close", "kick", "flood"] {
            let heard = Heard::default();
            let ears = heard.clone();
            let gate = Gate::framed(LengthPrefix::U16).agent(move |client: &Client| {
                client.send("welcome").expect("open");
                match way {
                    "close" => client.close(),
                    "kick" => client.kick(),
                    _ => while client.send(&[0; 60_000]).is_ok() {},
                }
                Brief(ears.clone())
            });
            let server = Server::start(config(), gate);
            let mut stream = server.connect();
            if way == "close" {
                assert_eq!(read_end(&mut stream).expect("an orderly end"), u16_frame(b"welcome"));
            } else {
                let _ = read_end(&mut stream);
            }
            drop(stream);
            server.settle();
            eventually("the agent is gone", || {
                let heard = heard.lock().expect("no panic under it");
                *heard == ["Closed", "dropped"]
            });
            server.stop();
        }
    });
}

#[test]
fn an_error_lets_what_was_queued_leave_and_counts_what_waited() {
    deadline(|| {
        let (server, heard) = moody();
        assert_eq!(say(&server, &["1", "2", "Enough", "3", "4"]), ["1", "2"]);
        server.settle();
        let metrics = server.metrics();
        assert_eq!((metrics.frames, metrics.frames_undelivered, metrics.panics), (3, 2, 0));
        assert!(heard.lock().expect("no panic").is_empty(), "its own error is no news to it");
        server.is_well();
        server.stop();
    });
}

#[test]
fn close_flushes_and_refuses_what_comes_after() {
    deadline(|| {
        let (server, heard) = moody();
        let mut stream = server.connect();
        let wire = [u16_frame(b"1"), u16_frame(b"shut"), u16_frame(b"3")].concat();
        stream.write_all(&wire).expect("written");
        assert_eq!(read_end(&mut stream).expect("an orderly end"), u16_frame(b"1"));
        drop(stream);
        server.settle();
        eventually("the end is told", || *heard.lock().expect("no panic") == ["Closed"]);
        server.stop();
    });
}

#[test]
fn a_kick_is_a_reset_for_the_client() {
    deadline(|| {
        let (server, heard) = moody();
        for _ in 0..20 {
            let mut stream = server.connect();
            stream.write_all(&u16_frame(b"kick")).expect("written");
            let error = read_end(&mut stream).expect_err("a reset, not an orderly end");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        server.settle();
        eventually("the end is told", || *heard.lock().expect("no panic") == ["Closed"; 20]);
        server.stop();
    });
}

#[test]
fn a_send_from_the_grave_is_refused() {
    deadline(|| {
        let (server, heard) = moody();
        assert_eq!(say(&server, &["Keep", "1"]), ["Keep", "1", "bye"]);
        assert_eq!(say(&server, &["Keep", "panic"]), ["Keep"]);
        server.settle();
        let heard = heard.lock().expect("no panic").clone();
        assert_eq!(heard, ["Ended", "dropped: Some(Closed)", "dropped: Some(Closed)"]);
        server.stop();
    });
}

#[test]
fn a_client_kept_for_ever_takes_no_place() {
    thread_local! {
        static ROOM: RefCell<Vec<Client>> = const { RefCell::new(Vec::new()) };
    }
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).agent(|client: &Client| {
            ROOM.with_borrow_mut(|room| room.push(client.clone()));
            common::Echo
        });
        let server = Server::start(config().connections_max(2).connections_per_ip_max(2), gate);
        for _ in 0..10 {
            server.is_well();
            server.settle();
        }
        assert_eq!(server.metrics().refused, 0);
        server.stop();
    });
}
