//! A server on a core of its own with somebody to sell and people to buy: what every measurement starts from.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use contract::order::Sale;
use indicatif::ProgressBar;
use kit::id::{OptionId, SaleId};
use kit::{Clock as _, SystemClock};
use tempfile::TempDir;

use crate::bench::load::Pace;
use crate::record::Buyer;
use crate::server::{self, Launch, Server};
use crate::stage::{self, Desk, Drop, Shop};
use crate::wire::{Ask, Target};

const ADMIN_EMAIL: &str = "bench@jangteo.example";
/// Members who buy, each again and again.
pub const BUYERS: u32 = 1_000;
/// More than any measurement sells.
pub const PLENTY: i64 = 500_000_000;
/// A limit that is looked at with every purchase and never reached.
const LIMIT_NEVER_REACHED: i64 = 1_000_000_000;
/// Options of one item, at most.
const OPTIONS_PER_ITEM: usize = 100;
const DAY_MS: i64 = 86_400_000;

/// What all measurements have in common.
#[derive(Clone, Debug)]
pub struct Bench {
    pub executable: PathBuf,
    /// Data goes below this folder: on a disk that syncs.
    pub folder: PathBuf,
    /// The server's core; none where there is only one.
    pub core: Option<usize>,
    pub rounds: usize,
    pub pace: Pace,
}

/// One server, ready to be measured.
pub struct Rig {
    pub server: Server,
    pub buyers: Vec<Buyer>,
    shop: Shop,
    launch: Launch,
    keys: Cell<u64>,
    folder: TempDir,
}

impl Rig {
    /// `settings` are lines of configuration beyond those that every measurement needs.
    pub async fn build(bench: &Bench, settings: &str, database: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rig-").tempdir_in(&bench.folder).context("no folder for data")?;
        let launch = Launch {
            executable: bench.executable.clone(),
            data: folder.path().to_owned(),
            config: config(settings),
            database: database.map(str::to_owned),
            prefix: format!("bench_{}", uuid::Uuid::now_v7().simple()),
            core: bench.core,
        };
        let password = uuid::Uuid::now_v7().to_string();
        server::add_admin(&launch, ADMIN_EMAIL, &password)?;
        let server = Server::start(launch.clone()).await?;
        let target = server.target().clone();
        let mut desk = Desk::new(&target);
        let admin = desk.login(ADMIN_EMAIL, &password).await?;
        let seller = stage::sign_up_seller(&mut desk).await?;
        let shop = stage::open_shop(&mut desk, &admin, seller).await?;
        let buyers = stage::invite(&mut desk, &admin, BUYERS, 0.0, 1, &ProgressBar::hidden()).await?;
        Ok(Self { server, buyers, shop, launch, keys: Cell::new(0), folder })
    }

    pub fn target(&self) -> Target {
        self.server.target().clone()
    }

    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Puts `count` options of `stock` units each on the shelf.
    pub async fn options(&self, count: usize, stock: i64) -> Result<Vec<OptionId>> {
        let target = self.target();
        let mut desk = Desk::new(&target);
        let mut options = Vec::with_capacity(count);
        while options.len() < count {
            let some = OPTIONS_PER_ITEM.min(count - options.len());
            let name = format!("Item {} of {}", options.len(), desk.run());
            options.extend(stage::stock_item(&mut desk, &self.shop, &name, some, stock).await?);
        }
        Ok(options)
    }

    /// A drop of a new option with `units` units. `limit` none means one that is never reached; `opens_in_ms` may be
    /// long from now.
    pub async fn drop_of(&self, units: i64, limit: Option<i64>, opens_in_ms: i64) -> Result<(OptionId, SaleId)> {
        let option = *self.options(1, units).await?.first().context("no option")?;
        let opens_at = SystemClock.now().plus_ms(opens_in_ms);
        let limit = Some(limit.unwrap_or(LIMIT_NEVER_REACHED));
        let drop = Drop { option, quantity: units, opens_at, closes_at: opens_at.plus_ms(DAY_MS), limit };
        let target = self.target();
        let mut desk = Desk::new(&target);
        let sale: Sale = stage::announce(&mut desk, &self.shop, &drop).await?;
        Ok((option, sale.id))
    }

    /// The next request of some buyer, with a key that was never used.
    pub fn order(&self, path: &str, body: &bytes::Bytes) -> Result<Ask> {
        let n = self.keys.get();
        self.keys.set(n + 1);
        let buyer = &self.buyers[usize::try_from(n)? % self.buyers.len()];
        Ask::post(path, body.clone())?.token(&buyer.token).key(&format!("bench-0000-{n:012}"))
    }

    /// Stops the server and audits its data; the number of breaches.
    pub async fn close(self) -> Result<usize> {
        let Self { server, launch, folder, .. } = self;
        server.stop().await?;
        let database = launch.database.as_deref().map(|url| (url, launch.prefix.as_str()));
        let checks = server::audit(&launch.executable, Some(folder.path()), database)?;
        ensure!(!checks.is_empty(), "the audit checked nothing");
        let breaches = checks.iter().flat_map(|check| &check.breaches);
        breaches.clone().for_each(|breach| eprintln!("! {breach}"));
        Ok(breaches.count())
    }
}

/// Tokens outlive the measurement, and so do connections that rest.
fn config(settings: &str) -> String {
    format!(
        "[rehearsal]\nenabled = true\n\n[limits]\nrate_limits = false\nidle_seconds = 600.0\n\n[member]\naccess_minutes = 1440\n\n\
         [log]\nfilter = \"warn\"\n\n{settings}\n"
    )
}
