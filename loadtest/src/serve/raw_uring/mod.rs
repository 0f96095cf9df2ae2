//! The raw-uring yardstick: the smallest possible io_uring echo loop, and therefore the floor.
//!
//! ```text
//!  completions -> frames found in place -> list of touched connections
//!       ^                                        |
//!       +---- one enter (submit and wait) <- one send each, receives re-armed
//! ```
//! It shares no code with the engine that it measures. Unsafe is at home in this folder: entries
//! carry addresses that the kernel uses until their last completion, and every slot keeps what
//! its operations name until then.
#![allow(unsafe_code)]

mod answers;
mod blocks;
mod bundle;
mod connection;
mod modes;
mod server;

use std::io;
use std::mem::ManuallyDrop;
use std::net::TcpListener;

use io_uring::{Builder, IoUring};

pub(crate) use modes::Modes;
use server::Server;

use crate::framing::Framing;

/// Submissions that fit before an extra enter is needed.
const SUBMISSIONS: u32 = 1024;

/// What comes and what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// Whole frames, as they came.
    Frames(Framing),
    /// To each head the same words.
    Http,
}

/// Serves until a signal ends the process.
pub(super) fn run(listener: TcpListener, spoken: Spoken, mut modes: Modes) -> io::Result<()> {
    if spoken == Spoken::Http {
        // There is nothing to gather, and nothing of its own to receive into.
        (modes.receive, modes.send) = (modes::Receive::Multishot, modes::Send::Gather);
    }
    let mut ring = build(completions(modes.blocks))?;
    // Never dropped: should the loop fail, operations in flight still name what the server owns.
    // The process ends then, and takes the memory with it.
    let mut server = ManuallyDrop::new(Server::new(&mut ring, listener, spoken, modes)?);
    server.run()
}

/// At least twice the number of blocks, so that a burst of receives leaves room for the sends.
fn completions(blocks: u16) -> u32 {
    (2 * u32::from(blocks)).clamp(4 * SUBMISSIONS, 65_536)
}

/// The ring with the best flags that this kernel knows.
fn build(completions: u32) -> io::Result<IoUring> {
    type Step = fn(&mut Builder) -> &mut Builder;
    let ladder: [Step; 4] = [
        // 6.6
        |b| deferred(b).setup_no_sqarray(),
        // 6.1
        |b| deferred(b),
        // 5.19
        |b| b.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all(),
        |b| b,
    ];
    let mut refused = None;
    for step in ladder {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions);
        match step(&mut builder).build(SUBMISSIONS) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = Some(error),
            other => return other,
        }
    }
    Err(refused.expect("the ladder has steps"))
}

fn deferred(builder: &mut Builder) -> &mut Builder {
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all()
}
