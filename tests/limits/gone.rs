//! Who is gone before anybody asked for his address.

use std::io::Write;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;

use skyring::prelude::*;

use crate::common::{Server, config, deadline, reset, u16_frame};

/// Echoes, and notes what it was sent.
struct Notes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Agent for Notes {
    async fn frame(&mut self, client: &Client, frame: Frame) -> Result<()> {
        self.0.lock().expect("not poisoned").push(frame.to_vec());
        client.send(frame)
    }
}

/// The kernel tells no address of a connection that was reset, though its bytes can be read.
fn is_not_heard(config: Config, banned: bool) {
    deadline(move || {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let noted = notes.clone();
        let gate = Gate::framed(LengthPrefix::U16).agent(move |_| Notes(noted.clone()));
        let server = Server::start(config.cores(1), gate);
        let loopback = "127.0.0.0/8".parse().expect("a network");
        if banned {
            server.handle.ban(loopback, None).expect("there is room");
        }
        thread::scope(|scope| {
            let ((hold, is_held), (go, gone)) = (sync_channel(1), sync_channel::<()>(1));
            let handle = &server.handle;
            scope.spawn(move || {
                let held = handle.run_on(0, move || async move {
                    let _ = hold.send(());
                    let _ = gone.recv(); // the core is busy meanwhile
                });
                held.expect("it runs");
            });
            is_held.recv().expect("told");
            let mut stream = server.connect();
            stream.write_all(&u16_frame(b"nobody")).expect("there is room");
            reset(stream);
            drop(go);
        });
        assert_eq!(server.handle.unban(loopback), banned);
        server.is_well();
        server.settle();
        assert_eq!(*notes.lock().expect("not poisoned"), [vec![b'w'; 100]]);
        server.stop();
    });
}

#[test]
fn a_banned_peer_is_not_heard_when_it_resets_behind_its_words() {
    is_not_heard(config(), true);
}

#[test]
fn nor_is_one_whose_address_is_to_be_counted() {
    is_not_heard(config().rate_per_ip(1000), false);
    is_not_heard(config().connections_per_ip_max(1000), false);
}
