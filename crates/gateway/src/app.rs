//! What every handler can reach: the clients of the services, the shared memory, the settings. No state of the market.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use contract::catalog::CatalogClient;
use contract::member::MemberClient;
use contract::order::OrderClient;
use contract::payment::PaymentClient;
use kit::{Clock, Ids};

use crate::Deps;
use crate::key::Keys;
use crate::limit::Limits;
use crate::live::Hub;
use crate::meter::Meters;
use crate::settings::Settings;

pub(crate) type Shared = Arc<App>;

pub(crate) struct App {
    pub(crate) member: MemberClient,
    pub(crate) catalog: CatalogClient,
    pub(crate) order: OrderClient,
    pub(crate) payment: PaymentClient,
    pub(crate) kv: kv::Shared,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) keys: Keys,
    pub(crate) live: Arc<Hub>,
    pub(crate) meters: Meters,
    /// Every started part of the process is there.
    pub(crate) ready: AtomicBool,
    in_flight: AtomicUsize,
}

impl App {
    pub(crate) fn new(deps: Deps) -> Self {
        let Deps { member, catalog, order, payment, kv, clock, ids, settings } = deps;
        Self {
            limits: Limits::new(&settings.rates),
            keys: Keys::new(member.clone(), &settings),
            live: Hub::new(order.clone(), kv.clone(), ids.clone(), settings.streams_max),
            meters: Meters::new(&crate::routes()),
            ready: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            member,
            catalog,
            order,
            payment,
            kv,
            clock,
            ids,
            settings,
        }
    }

    /// A place among the requests being worked on; `None` when all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        self.meters.in_flight.increment(1.0);
        (before < self.settings.in_flight_max).then_some(place)
    }
}

/// Gives its place back when dropped.
pub(crate) struct Place(Shared);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.meters.in_flight.decrement(1.0);
    }
}
