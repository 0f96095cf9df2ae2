//! A lane that cannot have its ring says so; the engine goes on. Alone in its program, since the
//! limit of descriptors is the process's.

#![cfg(feature = "lane")]

mod common;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skyring::lane::{self, LaneError};
use skyring::prelude::*;

use common::{config, deadline};

#[test]
fn a_lane_without_a_ring_is_one_clear_error() {
    deadline(|| {
        let handle = Engine::new(config()).start().expect("the engine starts");
        let limit = getrlimit(Resource::Nofile);
        let none = Rlimit { current: Some(3), maximum: limit.maximum };
        setrlimit(Resource::Nofile, none).expect("a limit may be lowered");
        let ask = || handle.run_on(0, || lane::call(async || ())).expect("the task ran");
        let refused = [ask(), ask()];
        setrlimit(Resource::Nofile, limit).expect("and raised again");
        let Err(LaneError::Unavailable(reason)) = &refused[0] else { panic!("{refused:?}") };
        assert!(reason.contains("ulimit -n"), "{reason}");
        assert_eq!(refused[1], refused[0], "it is not tried again for each call");
        assert_eq!(handle.run_on(0, || async { 7 }), Ok(7), "the engine goes on");
    });
}
