//! Services in hostile hands: what they drop panics, floods, circles of calls, stops in the middle
//! of everything.

mod calls;
mod drops;
mod engines;
#[path = "../common/events.rs"]
mod events;
mod floods;
mod mended;
mod orphans;
mod stop;
mod support;
