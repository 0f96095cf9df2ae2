//! What a server offers.

#[cfg(feature = "deflate")]
use super::deflate::Deflate;
use super::limits::Limits;

/// How a server speaks WebSocket. Keep one for each route.
///
/// ```
/// use skyring::websocket::Options;
/// let options = Options::new().protocol("chat.v2").protocol("chat.v1").origin("https://example.org");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) protocols: Vec<String>,
    /// Empty: pages from everywhere.
    pub(super) origins: Vec<String>,
    pub(super) limits: Limits,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<Deflate>,
}

impl Options {
    /// No subprotocol, pages from everywhere, no compression, the usual limits.
    pub fn new() -> Options {
        Options::default()
    }

    /// Speaks this subprotocol, too. The client's order counts; one that asks for none, or for
    /// others only, is served without.
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Options {
        self.protocols.push(name.into());
        self
    }

    /// Serves pages of this origin (`https://example.org`); once one is named, others are refused
    /// with 403. A browser tells the origin of the page that asks; what is no browser tells none,
    /// and is served.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Options {
        self.origins.push(origin.into());
        self
    }

    /// Other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Options {
        self.limits = limits;
        self
    }

    /// Compresses messages for clients that can read them so. (Feature `deflate`.)
    ///
    /// # Panics
    /// When a window has not 9 to 15 bits, or the level is not from 1 to 9.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, deflate: Deflate) -> Options {
        assert!(deflate.fault().is_none(), "{}", deflate.fault().unwrap_or_default());
        self.deflate = Some(deflate);
        self
    }
}
