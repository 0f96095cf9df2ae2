//! One thread beside the reactors, for drivers that were written for tokio, and for files.
//!
//! ```text
//!   core k   a handler ── lane::call(async || …) ──► the lane: tokio and tokio-uring, one thread
//!                ▲  waits, bounded in time               │  runs it to its end, whoever waits
//!                └────────── answer, by the core's door ─┘
//! ```
//!
//! A database's client, a message broker's, an object store's: most of them need tokio. They run on
//! the lane, and services and handlers of any core ask them by [`call`]:
//!
//! ```no_run
//! use skyring::http::{Response, Router};
//! use skyring::lane;
//! use skyring::prelude::*;
//!
//! # #[cfg(feature = "http")]
//! fn main() -> Result<()> {
//!     Engine::new(Config::from_env()?)
//!         .http("0.0.0.0:8080", |_core| {
//!             Router::new().get("/motd", async |_request| {
//!                 Ok(Response::text(lane::read("/etc/motd", 64 * 1024).await?))
//!             })
//!         })
//!         .run()
//! }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! The thread starts with the first call. It may run on all of the program's cores and steps back
//! there, as those of [`blocking`](fn@crate::blocking) do; but it is one thread, so what blocks or
//! calculates for long belongs to `blocking`, and what waits belongs here: a thousand calls may wait
//! at once (`SKYRING_LANE_CALLS_MAX`; more are refused). What calls share they keep in a
//! `thread_local!` of the lane, or reach by tokio's channels.
//!
//! # What holds for a call
//!
//! - It runs to its end. A caller that waits no longer, for [its timeout](LaneCall::timeout) or
//!   because it was dropped, does not end it; its answer is dropped and counted in `late_answers`.
//! - Operations of [`tokio_uring`] take buffers by value and give them back. Await each to its end: no
//!   `select!` and no timeout around one. One that is given up all the same keeps its buffer until
//!   the kernel is done with it, so nothing breaks, but what it had read is lost. Accept connections
//!   by the engine, not here: an accept that is given up loses the connection that it took.
//! - A panic ends the call it is in, is logged, and errs at the caller.
//! - When the engine stops, calls go on while its cores end; then no call is taken, and all tasks of
//!   the lane, those that calls have spawned by [`tokio_uring::spawn`] or `spawn_local` too, have
//!   `SKYRING_DRAIN` to end. Those that have not are left behind with their thread, and the log says
//!   so. What a driver has given to `tokio::spawn` for itself stops where it is: have a call flush it,
//!   or close it, before the engine stops.
//!
//! (Feature `lane`.) In a simulation there is no lane, and calls err: virtual time would run past
//! whatever waits for a thread.

mod call;
mod error;
mod files;
mod thread;

/// The crate that the lane runs, of the version that works in it.
pub use tokio_uring;

pub use self::call::{LaneCall, call};
pub use self::error::LaneError;
#[cfg(feature = "http")]
pub(crate) use self::files::read_exact_at;
pub use self::files::{read, write};
