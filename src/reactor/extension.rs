//! What a higher floor keeps on a core, and what the reactor tells it. The reactor knows no service.

use super::Reactor;
use crate::memory::envelope::Labelled;

/// The state that a higher floor keeps on each core. There is one type of it.
pub(crate) trait Extension: 'static {
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
        let extension = self.extension.get().unwrap_or_else(|| self.make_extension::<E>());
        extension.downcast_ref().expect("a core has extensions of one type")
    }

    #[cold]
    #[expect(clippy::borrowed_box, reason = "it is what the cell holds")]
    fn make_extension<E: Extension>(&self) -> &Box<Labelled<dyn Extension>> {
        self.extension.get_or_init(|| Box::new(Labelled::new(E::new(self))))
    }

    pub(super) fn extension_stands(&self) -> Stand {
        self.extension.get().map_or_else(Stand::default, |extension| extension.value().stand())
    }

    pub(super) fn expire_extension(&self, place: u32) {
        if let Some(extension) = self.extension.get() {
            extension.value().expire(self, place);
        }
    }
}
