//! Example servers, one page each, on the public interface only: copy them.

pub mod accounts;
pub mod agent;
pub mod chat;
pub mod echo;
pub mod log;
pub mod web;
