//! Where a gate's clients come in, on one core: the listeners, the service that has the clients
//! first, and its restart when it fails.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use crate::client::session::Session;
use crate::driver::operation::SocketAddress;
use crate::limit::Refusal;
use crate::limit::quota::Places;
use crate::memory::frame::Frame;
use crate::net::acceptor::Acceptor;
use crate::net::connection::Connection;
use crate::net::porter;
use crate::reactor::shared::Core;
use crate::reactor::{Reactor, sleep};
use crate::service::{ServiceId, SpawnError, belong, ended};
use crate::wire::Framing;

/// A gate whose service has failed is started again after this long; its listeners refuse clients
/// meanwhile.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Starts the service of a gate on a core.
pub(super) type Start =
    Arc<dyn Fn(&Rc<Entrance>, &Core) -> Result<ServiceId, SpawnError> + Send + Sync>;

/// A gate on one core.
pub(crate) struct Entrance {
    framing: Framing,
    /// Of all cores.
    places: Arc<Places>,
    /// They hold this, and live as long as they listen.
    acceptors: RefCell<Vec<Weak<Acceptor>>>,
    /// Who has clients first; none while it is started again.
    service: Cell<Option<ServiceId>>,
}

impl Entrance {
    pub(super) fn new(framing: Framing, places: Arc<Places>) -> Rc<Entrance> {
        Rc::new(Entrance {
            framing,
            places,
            acceptors: RefCell::default(),
            service: Cell::new(None),
        })
    }

    pub(super) fn listen(&self, acceptors: Vec<Rc<Acceptor>>) {
        self.acceptors.replace(acceptors.iter().map(Rc::downgrade).collect());
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddress> {
        let acceptors = self.acceptors.borrow();
        let open = acceptors.iter().filter_map(Weak::upgrade);
        open.map(|acceptor| acceptor.address().clone()).collect()
    }

    /// Accepts no more.
    pub(super) fn close(&self) {
        let acceptors = self.acceptors.take();
        acceptors.iter().filter_map(Weak::upgrade).for_each(|acceptor| acceptor.close());
    }

    /// Clients on all cores.
    pub(super) fn clients(&self) -> usize {
        self.places.taken()
    }

    /// Starts the gate's service, and sees to it that there is one.
    pub(super) fn staff(self: &Rc<Self>, start: &Start, core: &Core) -> Result<(), SpawnError> {
        self.service.set(Some(start(self, core)?));
        let (entrance, start, core) = (Rc::downgrade(self), start.clone(), *core);
        crate::reactor::spawn(attend(entrance, start, core));
        Ok(())
    }

    /// Gives an accepted connection, which has its place, to the gate's service. `rest` is what
    /// came behind a proxy's header.
    pub(super) fn admit(&self, connection: &Rc<Connection>, rest: Option<Frame>) {
        let hub = self.service.get().and_then(|service| belong::hub(&connection.reactor, service));
        let Some(hub) = hub else {
            return porter::turn_away(connection, &self.places, Refusal::GateDown);
        };
        let session = Session::new(connection.clone(), self.framing);
        if let Some(rest) = rest {
            session.hold(rest);
        }
        if !session.give_to(&hub) {
            porter::turn_away(connection, &self.places, Refusal::GateDown);
        }
    }
}

/// Starts a gate's service again when it has failed, until the engine stops.
async fn attend(entrance: Weak<Entrance>, start: Start, core: Core) {
    loop {
        let Some(service) = entrance.upgrade().and_then(|entrance| entrance.service.get()) else {
            return;
        };
        let end = match ended(service) {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(core = core.index, %error, "a gate is not watched: it is not started again");
                return;
            }
        };
        let down = end.await;
        if Reactor::current().is_stopping() {
            return;
        }
        if down.reason.is_orderly() {
            // It wants no clients any more.
            return entrance.upgrade().map_or((), |entrance| entrance.close());
        }
        tracing::error!(core = core.index, reason = %down.reason, "a gate has failed and is started again");
        sleep(RESTART_PAUSE).await;
        let Some(entrance) = entrance.upgrade() else { return };
        match start(&entrance, &core) {
            Ok(service) => entrance.service.set(Some(service)),
            Err(error) => {
                tracing::error!(core = core.index, %error, "a gate is not started again");
                return entrance.close();
            }
        }
    }
}
