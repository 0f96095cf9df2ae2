//! Mailboxes: where the messages of a service wait, on its own core.

pub(crate) mod mailbox;
