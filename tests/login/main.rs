//! Login and resume as a user sees them: whole servers and their clients in the simulated kernel.
#![cfg(feature = "login")]

mod logins;
mod sessions;
mod support;
mod threads;
mod weather;
