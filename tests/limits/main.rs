//! Limits as a user sees them: who is refused, what he is told, and what the others notice of it.

#[path = "../common/mod.rs"]
mod common;

mod charges;
mod cores;
mod gone;
mod proxies;
mod slow;
mod told;
