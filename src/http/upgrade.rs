//! A connection that is no longer HTTP.
//!
//! ```text
//!   task of HTTP: Link ─▶ Stream ─▶ head, handler, 101 ─▶ hand_over() ─▶ ends, with all it had
//!                                                             └─▶ task of its own: serve(Upgraded)
//! ```

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;

use super::link::Link;
use crate::net::Stream;
use crate::reactor::guarded;
use crate::reactor::kind::Kind;

/// A future of a handler's, on its core.
pub(crate) type Local<T> = Pin<Box<dyn Future<Output = T>>>;
/// Goes on with a connection that is no longer HTTP; in a task of its own, if it needs one.
pub(crate) type Upgrading = Box<dyn FnOnce(Upgraded) -> Option<Local<()>>>;

/// The stream of a connection after [`Response::upgrade`](super::Response::upgrade), with the bytes
/// that the peer has sent already. It closes when this is dropped.
///
/// Nothing of HTTP is left behind it: it costs what any stream costs.
pub struct Upgraded(Stream);

impl Upgraded {
    #[cfg(feature = "websocket")]
    pub(crate) fn into_stream(self) -> Stream {
        self.0
    }
}

/// Serves what a connection speaks from now on, in a task of its own.
pub(super) fn begin(link: &Link, serve: Upgrading) {
    let _ = link.send(); // the answer goes first
    link.give_back();
    let upgraded = Upgraded(link.stream.hand_over());
    let reactor = &link.reactor;
    let serving =
        guarded(&reactor.metrics, "the handler of an upgraded connection panicked", || {
            serve(upgraded)
        });
    if let Some(Some(serving)) = serving {
        reactor.spawn_boxed(Kind::of(reactor, "an upgraded connection"), serving);
    }
}

impl Deref for Upgraded {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.0
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(&self.0).finish()
    }
}
