//! Bad weather: agents that panic, fail, lag, hold on to things or close at the wrong moment.

mod common;

use std::cell::RefCell;
use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Server, config, converse, deadline, echo, eventually, is_ended, pattern, read_end, read_u16,
    u16_frame,
};
use skyring::prelude::*;
use skyring::{SendError, Undelivered};

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

#[test]
fn a_lagging_agent_pauses_its_client_and_loses_nothing() {
    /// Sleeps now and then, and checks the order.
    struct Slow(usize);
    impl Agent for Slow {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            self.0 += 1;
            if self.0.is_multiple_of(50) {
                sleep(Duration::from_millis(2)).await;
            }
            client.send(frame)
        }
    }
    deadline(|| {
        let config = config()
            .mailbox_max(8)
            .receive_bytes_max(4096)
            .pool_block_bytes(1024)
            .pool_blocks(16)
            .frame_bytes_max(3000);
        let server = Server::start(config, Gate::framed(LengthPrefix::U16).agent(|_| Slow(0)));
        let payloads: Vec<_> = (0..3000).map(|n| pattern(n, n * 37 % 3001)).collect();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| common::echoes_all(server.address, &payloads));
            }
        });
        server.settle();
        let metrics = server.metrics();
        assert!(metrics.paused > 10, "{metrics:?}");
        assert_eq!((metrics.frames, metrics.frames_undelivered), (9000, 0));
        server.stop();
    });
}

#[test]
fn what_an_idle_agent_leaves_unread_stays_with_its_sender() {
    const RECEIVE: usize = 64 * 1024;
    /// Waits for the end of the engine at its first frame.
    struct Stuck;
    impl Agent for Stuck {
        async fn frame(&mut self, _: &Client, _: Frame) -> Result<()> {
            stopping().await;
            Ok(())
        }
    }
    deadline(|| {
        let config = config().receive_bytes_max(RECEIVE).pool_block_bytes(16 * 1024);
        let pool = 256 * 16 * 1024;
        let server = Server::start(config, Gate::framed(LengthPrefix::U16).agent(|_| Stuck));
        let mut stream = server.connect();
        stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let frame = u16_frame(&pattern(1, 1000));
        while stream.write_all(&frame).is_ok() {}
        let received = server.metrics().bytes_received as usize;
        // What the kernel had begun to hand over when the reads paused comes too, in blocks.
        assert!(received <= RECEIVE + pool, "{received} bytes unread");
        println!("{received} bytes unread at a mark of {RECEIVE}");
        server.stop();
    });
}

#[test]
fn an_idle_limit_spares_a_client_whose_agent_lags() {
    struct Slow;
    impl Agent for Slow {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            sleep(Duration::from_millis(2)).await;
            client.send(frame)
        }
    }
    const FRAMES: usize = 600;
    deadline(|| {
        let config = config().idle(Duration::from_millis(300)).mailbox_max(16);
        let server = Server::start(config, Gate::framed(LengthPrefix::U16).agent(|_| Slow));
        // All come in one receive, and reads are off until its last frames are in the mailbox: the
        // client is silent, but not by its own fault.
        let mut stream = server.connect();
        let wire: Vec<u8> = (0..FRAMES).flat_map(|n| u16_frame(&pattern(n, 20))).collect();
        stream.write_all(&wire).expect("written");
        for n in 0..FRAMES {
            let answer = read_u16(&mut stream).unwrap_or_else(|e| panic!("answer {n}: {e}"));
            assert_eq!(answer, pattern(n, 20), "{n}");
        }
        assert!(is_ended(&mut stream), "and then it is idle indeed");
        server.settle();
        assert_eq!(server.metrics().idled, 1);
        server.stop();
    });
}

#[test]
fn a_full_mailbox_gives_the_message_back() {
    /// Floods itself once, and counts what it hears.
    struct Flood {
        door: Local<u32>,
        heard: u32,
    }
    impl Agent<u32> for Flood {
        async fn frame(&mut self, client: &Client, _: Frame) -> Result<()> {
            let refused = (0..10).filter(
                |n| matches!(self.door.send(*n), Err(Undelivered::Full(back)) if back == *n),
            );
            client.send(&[refused.count() as u8])
        }
        async fn message(&mut self, client: &Client, message: u32) -> Result<()> {
            assert_eq!(message, self.heard);
            self.heard += 1;
            client.send(&[message as u8])
        }
    }
    deadline(|| {
        let gate = Gate::framed(LengthPrefix::U16).agent_with(|_, door| Flood { door, heard: 0 });
        let server = Server::start(config().mailbox_max(4), gate);
        let mut stream = server.connect();
        stream.write_all(&u16_frame(b"go")).expect("written");
        for answer in [6, 0, 1, 2, 3] {
            assert_eq!(read_u16(&mut stream).expect("answered"), [answer]);
        }
        server.stop();
    });
}

#[test]
fn the_door_of_an_agent_that_ended_gives_the_message_back() {
    deadline(|| {
        struct Quiet;
        impl Agent<String> for Quiet {
            async fn frame(&mut self, _: &Client, _: Frame) -> Result<()> {
                Ok(())
            }
        }
        let (sender, results) = std::sync::mpsc::channel();
        let sender = Mutex::new(sender);
        let gate = Gate::framed(LengthPrefix::U16).agent_with(move |client: &Client, door| {
            let (client, sender) = (client.clone(), sender.lock().expect("no panic").clone());
            skyring::spawn(async move {
                while client.is_open() {
                    sleep(Duration::from_millis(1)).await;
                }
                let sent = door.send("anybody?".to_string());
                let _ =
                    sender.send(matches!(sent, Err(Undelivered::Dead(back)) if back == "anybody?"));
            });
            Quiet
        });
        let server = Server::start(config(), gate);
        let stream = server.connect();
        stream.shutdown(Shutdown::Write).expect("ended");
        assert!(results.recv().expect("an outcome"), "dead, with the message");
        server.stop();
    });
}

#[test]
fn an_agent_that_waits_for_the_stop_in_vain_leaves_nothing_behind() {
    // Each connection waits for the stop for a moment; a thousand of them later it still costs one
    // look, and the end comes.
    struct Waiter;
    impl Agent for Waiter {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            let _ = within(Duration::from_millis(1), stopping()).await;
            client.send(frame)
        }
    }
    deadline(|| {
        let server = Server::start(config(), Gate::framed(LengthPrefix::U16).agent(|_| Waiter));
        for _ in 0..200 {
            server.is_well();
        }
        server.settle();
        server.stop();
    });
}

#[test]
fn two_gates_of_one_engine_do_not_mix() {
    deadline(|| {
        let engine = Engine::new(config())
            .gate("127.0.0.1:0", echo(LengthPrefix::U16))
            .gate("127.0.0.1:0", echo(Framing::Line));
        let server = Server::of(engine);
        let lines = server.handle.addresses()[1].inet().expect("an internet address");
        assert_eq!(converse(lines, b"one\ntwo\n").expect("answered"), b"one\ntwo\n");
        server.is_well();
        server.stop();
    });
}

#[test]
fn an_agent_that_was_busy_hears_the_latest_of_its_backlog_once() {
    const CYCLES: usize = 100;
    /// Handles one frame while a colleague fills and empties its queue many times.
    struct Busy(Arc<Mutex<Vec<Backlog>>>);
    impl Agent for Busy {
        async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
            if frame.is_empty() {
                return client.send("");
            }
            let colleague = client.clone();
            spawn(async move {
                for _ in 0..CYCLES {
                    colleague.send(vec![b'x'; 2000]).expect("below the cap");
                    while colleague.queued() > 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                }
            })
            .await
            .map_err(Into::into)
        }
        async fn backlog(&mut self, _: &Client, backlog: Backlog) -> Result<()> {
            self.0.lock().expect("no panic under it").push(backlog);
            Ok(())
        }
    }
    deadline(|| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = heard.clone();
        let gate = Gate::framed(LengthPrefix::U16).agent(move |_| Busy(noted.clone()));
        let server = Server::start(config().send_warn_bytes(1024).mailbox_max(8), gate);
        let mut stream = server.connect();
        stream.write_all(&[u16_frame(b"go"), u16_frame(b"")].concat()).expect("written");
        for _ in 0..CYCLES {
            assert_eq!(read_u16(&mut stream).expect("sent").len(), 2000);
        }
        assert_eq!(read_u16(&mut stream).expect("it goes on"), b"");
        drop(stream);
        server.settle();
        assert_eq!(*heard.lock().expect("no panic under it"), [Backlog::Drained]);
        server.stop();
    });
}
