//! What services' mailboxes tell each other: who watches whom, who ends. It travels on the control
//! lane, so nothing of it is refused or dropped.

use super::address::ServiceId;
use super::reason::Down;
use crate::client::{ClientId, Disconnect};

/// News for a mailbox.
pub(super) enum Signal {
    /// End in order.
    Stop,
    /// The sender wants to hear of the end.
    Watch(ServiceId),
    Unwatch(ServiceId),
    /// The receiver watches this service from its beginning, as if it had asked itself.
    Watches(ServiceId),
    /// The sender is linked from now on.
    Link(ServiceId),
    Unlink(ServiceId),
    /// A client that the service has forwarded is gone.
    Gone(Box<(ClientId, Disconnect)>),
    /// A service that was watched has ended.
    Down(Box<Down>),
    /// A service that was linked has ended.
    Broken {
        by: ServiceId,
        orderly: bool,
    },
}
