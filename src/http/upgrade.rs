//! A connection that is no longer HTTP.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::link::Link;
use crate::net::Stream;

/// The stream of a connection after [`Response::upgrade`](super::Response::upgrade), with the bytes
/// that the peer has sent already. It closes when the handler of the upgrade ends.
pub struct Upgraded(Rc<Link>);

impl Upgraded {
    pub(super) fn new(link: Rc<Link>) -> Upgraded {
        link.give_back();
        Upgraded(link)
    }
}

impl Deref for Upgraded {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.0.stream
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(&**self).finish()
    }
}
