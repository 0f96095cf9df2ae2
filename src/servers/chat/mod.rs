//! A chat server: rooms, names, history, whispers. One JSON object a frame goes out; what comes in,
//! and what each object says, is in docs/CHAT.md.
//!
//! ```text
//!  core 0                                    core 1
//!  ann ─▶ agent ── Say ───────────────────▶ room ─┬─ one message a core ─▶ hub ─▶ bob, eve ...
//!  ann ◀──────────── hub ◀────────────────────────┘  (bytes, encoded once)
//!           │
//!           ├── who is called what? ───────▶ names        one in the engine
//!           └── where is the lobby? ───────▶ directory    one in the engine
//! ```
//! | file | holds |
//! |---|---|
//! | [`command`], [`event`], [`name`], [`history`], [`clock`] | bytes, texts and times: no service, no socket |
//! | [`names`], [`directory`] | who and where; each decides for all cores |
//! | [`room`], [`hub`] | who is in a room and in which order; who hears it on a core |
//! | [`talker`] | what each command does |
//! | `agent` | connections: the one file that knows of any |

mod agent;
pub mod clock;
pub mod command;
pub mod directory;
pub mod event;
pub mod history;
pub mod hub;
mod limits;
pub mod name;
pub mod names;
pub mod room;
pub mod talker;

pub use self::limits::{Limits, TEXT_BYTES_MAX};

use self::agent::Porter;
use crate::prelude::*;

/// A chat server on `listen`, not yet started.
///
/// # Panics
/// When the limits contradict themselves; see [`Limits`].
pub fn engine(config: Config, listen: &str, framing: Framing, limits: Limits) -> Engine {
    Engine::new(config).gate(listen, gate(framing, limits))
}

/// A gate to the chat of its engine. All gates of an engine lead to the same rooms; give them the
/// same limits.
///
/// # Panics
/// As [`engine`].
pub fn gate(framing: Framing, limits: Limits) -> Gate {
    limits.check();
    Gate::framed(framing).service(move |_core| Porter { limits })
}
