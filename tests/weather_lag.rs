//! Agents that lag, wait or idle, and what waits for them meanwhile.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Server, config, converse, deadline, echo, is_ended, pattern, read_u16, u16_frame};
use skyring::Undelivered;
use skyring::prelude::*;

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
