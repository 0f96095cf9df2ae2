//! `skyring web` as its users see it: in the simulated kernel, and in a browser.

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod rooms;
mod site;
