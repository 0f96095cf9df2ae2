//! `skyring web` as its users see it: in the simulated kernel, and in a browser.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod common;

mod browser;
mod rooms;
mod site;
