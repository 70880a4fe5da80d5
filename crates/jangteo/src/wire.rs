//! The one file that decides which adapter is used: which database, which shared memory, which bus, and whether a
//! service is called in this process or over the wire. Nothing else asks.
//!
//! A market is opened from the inside out (databases, services, their clients, the gateway) and closed the other way.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use contract::catalog::CatalogClient;
use contract::member::MemberClient;
use contract::order::OrderClient;
use contract::payment::PaymentClient;
use db::Db;
use kit::{Clock, Code, Ids};
use tokio::net::TcpListener;

use crate::config::Config;

/// How services reach one another and are reached by the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A call is a method call.
    Local,
    /// Every service listens on a loopback port and is called over HTTP/2, in one process all the same.
    Wire,
}

/// The way to every service.
#[derive(Clone)]
pub struct Clients {
    pub member: MemberClient,
    pub catalog: CatalogClient,
    pub order: OrderClient,
    pub payment: PaymentClient,
}

/// What every part is given.
#[derive(Clone)]
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl Default for Surroundings {
    /// The machine's clock, and ids that no other machine makes.
    fn default() -> Self {
        Self { clock: Arc::new(kit::SystemClock), ids: Arc::new(kit::SystemIds) }
    }
}

struct Databases {
    member: Db,
    catalog: Db,
    order: Db,
    payment: Db,
}

/// All services of a market, without a door for the public.
pub struct Services {
    clients: Clients,
    kv: kv::Shared,
    databases: Databases,
    member: Arc<member::Service>,
    catalog: Arc<catalog::Service>,
    order: Arc<order::Service>,
    payment: Arc<payment::Service>,
    served: Vec<rpc::Served>,
}

impl Services {
    /// Opens what is in `data` (or on the configured server) and starts every service.
    /// Links in mails begin with `public_url`.
    pub async fn start(
        config: &Config,
        data: &Path,
        form: Form,
        around: &Surroundings,
        public_url: String,
    ) -> Result<Self> {
        let master_key = master_key(config, data).await?;
        let databases = open_databases(config, data).await?;
        let kv: kv::Shared = Arc::new(kv::Memory::new());
        let events = Arc::new(bus::Memory::held_back());
        let bus: bus::Shared = events.clone();
        let (clock, ids) = (&around.clock, &around.ids);
        let member = member::Service::start(member::Deps {
            db: databases.member.clone(),
            kv: kv.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            settings: config.member_settings(public_url),
            master_key,
        });
        let catalog = catalog::Service::start(catalog::Deps {
            db: databases.catalog.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
        });
        let order = order::Service::start(order::Deps {
            db: databases.order.clone(),
            kv: kv.clone(),
            bus,
            clock: clock.clone(),
            ids: ids.clone(),
            settings: config.order_settings()?,
        });
        let (member, catalog, order) = tokio::try_join!(member, catalog, order)?;
        events.release();

        let mut served = Vec::new();
        let order_client = link(form, &mut served, OrderClient::local(order.clone())).await?;
        let payment = payment::Service::start(payment::Deps {
            db: databases.payment.clone(),
            order: order_client.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            currency: config.market.currency,
        })
        .await?;
        let clients = Clients {
            member: link(form, &mut served, MemberClient::local(member.clone())).await?,
            catalog: link(form, &mut served, CatalogClient::local(catalog.clone())).await?,
            order: order_client,
            payment: link(form, &mut served, PaymentClient::local(payment.clone())).await?,
        };
        Ok(Self { clients, kv, databases, member, catalog, order, payment, served })
    }

    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What the gateway in front of these services is made of.
    pub(crate) fn gateway_deps(&self, config: &Config, around: &Surroundings) -> gateway::Deps {
        let Clients { member, catalog, order, payment } = self.clients.clone();
        gateway::Deps {
            member,
            catalog,
            order,
            payment,
            kv: self.kv.clone(),
            clock: around.clock.clone(),
            ids: around.ids.clone(),
            settings: config.gateway_settings(),
        }
    }

    /// Waits until a part cannot go on; never returns otherwise. The process must stop then.
    pub async fn died(&self) -> kit::Fault {
        tokio::select! {
            fault = self.order.died() => fault,
            fault = self.payment.died() => fault,
        }
    }

    /// What is on its way: events not yet handed on, payments not yet finished.
    pub async fn backlog(&self) -> kit::Result<Backlog> {
        let catalog = bus::backlog(self.databases.catalog.read()).await?;
        let order = bus::backlog(self.databases.order.read()).await?;
        Ok(Backlog { events: catalog + order, payments: self.payment.open_attempts().await? })
    }

    /// Ends jobs and relays, those first that need the others, and closes the databases.
    pub async fn stop(self) -> Result<()> {
        self.payment.stop().await;
        self.order.stop().await;
        self.catalog.stop().await;
        self.member.stop().await;
        for served in self.served {
            served.stop().await;
        }
        let Databases { member, catalog, order, payment } = self.databases;
        for (name, db) in [("payment", payment), ("order", order), ("catalog", catalog), ("member", member)] {
            db.close().await.with_context(|| format!("closing the database of {name}"))?;
        }
        Ok(())
    }
}

/// Only the member service, for a command that makes a person while a market may be running beside it.
pub struct People {
    db: Db,
    service: Arc<member::Service>,
}

impl People {
    pub async fn start(config: &Config, data: &Path, around: &Surroundings) -> Result<Self> {
        let master_key = master_key(config, data).await?;
        let db = Db::open(&config.source(data), "member", &config.db_settings()).await?;
        let service = member::Service::start(member::Deps {
            db: db.clone(),
            kv: Arc::new(kv::Memory::new()),
            clock: around.clock.clone(),
            ids: around.ids.clone(),
            settings: config.member_settings(public_url(config, config.server.listen)),
            master_key,
        })
        .await?;
        Ok(Self { db, service })
    }

    pub fn client(&self) -> MemberClient {
        MemberClient::local(self.service.clone())
    }

    pub async fn stop(self) -> Result<()> {
        self.service.stop().await;
        self.db.close().await.context("closing the database of member")
    }
}

/// See [`Services::backlog`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backlog {
    pub events: i64,
    pub payments: i64,
}

/// Whether there never was a market: no database of people exists.
pub(crate) async fn is_new(source: &db::Source) -> kit::Result<bool> {
    match Db::open_read_only(source, "member").await {
        Ok(db) => db.close().await.map(|()| false),
        Err(fault) if fault.code == Code::NotFound => Ok(true),
        Err(fault) => Err(fault),
    }
}

/// Opens the databases of all services for looking only, in the order member, catalog, order, payment.
pub(crate) async fn open_to_look(source: &db::Source) -> kit::Result<[Db; 4]> {
    let look = |service: &'static str| Db::open_read_only(source, service);
    let (member, catalog, order, payment) =
        tokio::try_join!(look("member"), look("catalog"), look("order"), look("payment"))?;
    Ok([member, catalog, order, payment])
}

/// Where people reach a market that listens on `address`.
pub(crate) fn public_url(config: &Config, address: SocketAddr) -> String {
    match &config.server.public_url {
        Some(url) => url.clone(),
        // Nobody can go to 0.0.0.0.
        None if address.ip().is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        None => format!("http://{address}"),
    }
}

async fn open_databases(config: &Config, data: &Path) -> Result<Databases> {
    let (source, settings) = (config.source(data), config.db_settings());
    let open = |service: &'static str| Db::open(&source, service, &settings);
    let (member, catalog, order, payment) =
        tokio::try_join!(open("member"), open("catalog"), open("order"), open("payment"))?;
    Ok(Databases { member, catalog, order, payment })
}

/// The key that personal data is sealed with; made with the first database of people, and never for one that exists:
/// a new key opens nothing that an old one sealed.
async fn master_key(config: &Config, data: &Path) -> Result<member::MasterKey> {
    let file = config.member.master_key_file.clone().unwrap_or_else(|| data.join("master.key"));
    if !file.exists() && !is_new(&config.source(data)).await? {
        bail!(
            "the master key {} is missing, and there are people whose data was sealed with one: put it there, or set \
             [member] master_key_file",
            file.display()
        );
    }
    Ok(member::MasterKey::load_or_create(&file)?)
}

/// A client that can be put behind a port.
trait Linked: Sized {
    fn router(&self) -> axum::Router;
    fn remote(peer: rpc::Peer) -> Self;
}

macro_rules! linked {
    ($($client:ident),+) => {$(
        impl Linked for $client {
            fn router(&self) -> axum::Router {
                Self::router(self)
            }

            fn remote(peer: rpc::Peer) -> Self {
                Self::remote(peer)
            }
        }
    )+};
}

linked!(MemberClient, CatalogClient, OrderClient, PaymentClient);

/// The client by which others reach the service that `local` reaches.
async fn link<C: Linked>(form: Form, served: &mut Vec<rpc::Served>, local: C) -> Result<C> {
    match form {
        Form::Local => Ok(local),
        Form::Wire => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no loopback port")?;
            let peer = rpc::Peer::new(listener.local_addr()?);
            served.push(rpc::serve(listener, local.router()));
            Ok(C::remote(peer))
        }
    }
}
