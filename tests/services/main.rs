//! Services as a user sees them: on one core and across cores, in the simulated kernel and on
//! real threads.

mod calls;
mod fabric;
mod life;
mod names;
mod outside;
mod supervision;
mod support;
mod time;
