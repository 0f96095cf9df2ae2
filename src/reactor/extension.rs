//! What a higher floor keeps on a core, and what the reactor tells it. The reactor knows no service.

use std::any::Any;

use super::Reactor;

/// The state that a higher floor keeps on each core. There is one type of it.
pub(crate) trait Extension: Any {
    /// The state of this core.
    fn new(reactor: &Reactor) -> Self
    where
        Self: Sized;
    /// A timer that was set for it ([`Alarm::Extension`](super::Alarm)) has run out.
    fn expire(&self, reactor: &Reactor, place: u32);
    /// The engine stops, and no connection is left: end what lives here, in order. Called again
    /// until it returns that nothing is left.
    fn wind_down(&self) -> bool;
    /// How things stand: services that live here, and calls that wait for their answer.
    fn stand(&self) -> Stand;
}

/// How things stand with an extension.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stand {
    pub(crate) services: usize,
    pub(crate) calls: usize,
}

impl Reactor {
    /// The extension of this core, made when it is first asked for.
    ///
    /// # Panics
    /// When the core has one of another type.
    #[inline]
    pub(crate) fn extension<E: Extension>(&self) -> &E {
        let extension = &**self.extension.get_or_init(|| Box::new(E::new(self)));
        (extension as &dyn Any).downcast_ref().expect("a core has extensions of one type")
    }

    pub(super) fn extension_stands(&self) -> Stand {
        self.extension.get().map_or_else(Stand::default, |extension| extension.stand())
    }

    pub(super) fn expire_extension(&self, place: u32) {
        if let Some(extension) = self.extension.get() {
            extension.expire(self, place);
        }
    }
}
