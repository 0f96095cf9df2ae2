//! A flood at the door costs no memory, be the refused told or not.

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::Read;

use common::{Echo, Server, config, deadline, eventually};
use skyring::prelude::*;

const FLOOD: u64 = 2000;
/// What may be left of growth by and by, and of the questions for the metrics.
const CALLS_MAX: u64 = 100;

#[test]
fn who_is_refused_at_the_door_is_allocated_nothing() {
    deadline(|| {
        let gate = Gate::line().on_refusal(|refusal| refusal.to_string()).clients_max(2);
        let engine = Engine::new(config().connections_per_ip_max(1)).setup(|_| {
            heap::count_this_thread();
            Ok(())
        });
        let server = Server::of(engine.gate("127.0.0.1:0", gate.agent(|_| Echo)));
        let _held = server.connect();
        eventually("it is served", || server.handle.connections() == 1);
        let flood = |count: u64| {
            for n in 0..count {
                let mut text = String::new();
                let mut stream = server.connect();
                stream.read_to_string(&mut text).expect("an orderly end");
                assert_eq!(text, "too many connections from your address\n", "{n}");
            }
        };
        flood(100);
        let before = (heap::calls(), server.metrics().refused_per_ip);
        flood(FLOOD);
        let calls = heap::calls() - before.0;
        assert_eq!(server.metrics().refused_per_ip, before.1 + FLOOD);
        assert!(calls <= CALLS_MAX, "{calls} calls for memory in {FLOOD} refusals");
        server.stop();
    });
}
