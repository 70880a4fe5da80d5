//! The demo market: something to look at and to buy for whoever starts the program for the first time.
//!
//! It is made through the services like any other market, from the files in `demo/` (which are also an example for
//! `jangteo import`). Filling a filled market changes nothing.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use contract::IdempotencyKey;
use contract::catalog::{Item, ListOwnItems, ListStores, OwnItemsQuery, Store};
use contract::member::{Enroll, Person};
use contract::order::{CreateSale, SaleBody, SaleLineBody};
use contract::payment::{CreditBody, CreditWallet, ListWalletEntries, WalletQuery};
use kit::id::{MemberId, OptionId};
use kit::page::PAGE_SIZE_MAX;
use kit::{Clock as _, Code, Ctx, Fault, Millis, Money, Personal, Role, Secret, SystemClock, SystemIds};

use crate::import;
use crate::wire::Clients;

/// Everybody's password in the demo market.
pub const PASSWORD: &str = "jangteo-demo-2026!";

/// Somebody to sign in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub role: Role,
    pub email: &'static str,
    name: &'static str,
    /// A seller's business.
    business: Option<&'static str>,
}

const fn account(role: Role, email: &'static str, name: &'static str, business: Option<&'static str>) -> Account {
    Account { role, email, name, business }
}

/// The people of the demo market; all have the password [`PASSWORD`].
pub const ACCOUNTS: [Account; 6] = [
    account(Role::Admin, "admin@jangteo.example", "최관리", None),
    account(Role::Seller, "orchard@jangteo.example", "김한들", Some("한들농원 Handeul Orchard")),
    account(Role::Seller, "pantry@jangteo.example", "박파도", Some("파도상회 Pado Pantry")),
    account(Role::Seller, "studio@jangteo.example", "이달", Some("달항아리 공방 Moon Jar Studio")),
    account(Role::Buyer, "buyer@jangteo.example", "정하나", None),
    account(Role::Buyer, "buyer2@jangteo.example", "한두리", None),
];

const TEXTS: [(&str, &str); 3] = [
    ("stores.csv", include_str!("../demo/stores.csv")),
    ("items.csv", include_str!("../demo/items.csv")),
    ("options.csv", include_str!("../demo/options.csv")),
];

/// A limited sale of the demo market.
struct Drop {
    key: &'static str,
    store: &'static str,
    name: &'static str,
    item: &'static str,
    option: &'static str,
    quantity: i64,
    price: i64,
    limit_per_member: i64,
    /// From the filling of the market on.
    opens_in_ms: i64,
    open_for_ms: i64,
}

const DROPS: [Drop; 2] = [
    Drop {
        key: "demo-drop-open",
        store: "한들농원 Handeul Orchard",
        name: "오늘의 드롭 Drop of the Day",
        item: "샤인머스캣 Shine Muscat",
        option: "2 kg",
        quantity: 200,
        price: 14_900,
        limit_per_member: 2,
        opens_in_ms: 0,
        open_for_ms: 24 * 3_600_000,
    },
    Drop {
        key: "demo-drop-soon",
        store: "달항아리 공방 Moon Jar Studio",
        name: "달항아리 한정판 Moon Jar, Limited",
        item: "달항아리 Moon Jar",
        option: "한정판 Limited edition (22 cm)",
        quantity: 100,
        price: 250_000,
        limit_per_member: 1,
        opens_in_ms: 5 * 60_000,
        open_for_ms: 24 * 3_600_000,
    },
];

/// Minor units in each buyer's wallet.
const CREDIT: i64 = 1_000_000;
/// How long the order service is given to hear of the items.
const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What to tell people: who they can sign in as.
pub fn accounts() -> String {
    let mut text = format!("\n    Demo accounts, password {PASSWORD}\n");
    for account in ACCOUNTS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {:<7} {}", account.role.as_str(), account.email);
    }
    text
}

/// Fills the market; the first sale opens now, by the machine's clock.
pub async fn fill(market: &Clients) -> Result<()> {
    fill_at(market, SystemClock.now()).await
}

/// Fills the market, at `now` by the market's clock.
pub async fn fill_at(market: &Clients, now: Millis) -> Result<()> {
    let demo = Demo { market, ctx: Ctx::internal(&SystemIds) };
    let [admin, _, _, _, buyers @ ..] = demo.enroll().await?;
    // The wallets are filled last: where there is something in the last of them, all is done.
    let [.., last] = buyers;
    if demo.has_entries(last).await? {
        return Ok(());
    }
    let report = import::run_texts(market, &TEXTS).await?;
    if !report.is_clean() {
        bail!("the demo market cannot be filled:\n{report}");
    }
    for drop in &DROPS {
        demo.open_drop(drop, now).await.with_context(|| format!("opening the sale {:?}", drop.name))?;
    }
    for (key, buyer) in ["demo-credit-1", "demo-credit-2"].into_iter().zip(buyers) {
        demo.credit(admin, buyer, key).await?;
    }
    tracing::info!("demo market is filled");
    Ok(())
}

struct Demo<'a> {
    market: &'a Clients,
    ctx: Ctx,
}

impl Demo<'_> {
    /// Ids in the order of [`ACCOUNTS`].
    async fn enroll(&self) -> Result<[MemberId; ACCOUNTS.len()]> {
        let mut ids = Vec::with_capacity(ACCOUNTS.len());
        for account in ACCOUNTS {
            let person = Person {
                email: Personal::new(account.email),
                name: Personal::new(account.name),
                phone: None,
                business_name: account.business.map(str::to_owned),
                password: Some(Secret::new(PASSWORD)),
            };
            let request = Enroll { role: account.role, people: vec![person], tokens: false };
            let enrolled = self.market.member.enroll(&self.ctx, request).await.map_err(explained)?;
            ids.extend(enrolled.first().map(|member| member.id));
        }
        ids.try_into().map_err(|_| anyhow!("the member service did not make everybody"))
    }

    async fn has_entries(&self, member: MemberId) -> Result<bool> {
        let request = ListWalletEntries { member, query: WalletQuery { cursor: None, size: Some(1) } };
        let page = self.market.payment.list_wallet_entries(&self.ctx, request).await.map_err(explained)?;
        Ok(!page.items.is_empty())
    }

    async fn open_drop(&self, drop: &Drop, now: Millis) -> Result<()> {
        let (store, option) = self.option(drop).await?;
        self.arrive(option).await?;
        let opens_at = now.plus_ms(drop.opens_in_ms);
        let line = SaleLineBody { option_id: option, quantity: drop.quantity, price: drop.price };
        let body = SaleBody {
            name: drop.name.into(),
            opens_at,
            closes_at: opens_at.plus_ms(drop.open_for_ms),
            limit_per_member: Some(drop.limit_per_member),
            lines: vec![line],
        };
        let key = IdempotencyKey::parse(drop.key).map_err(explained)?;
        let request = CreateSale { seller: store.seller_id, store: store.id, key, body };
        match self.market.order.create_sale(&self.ctx, request).await {
            Ok(_) => Ok(()),
            // A filling that was interrupted has opened it, at another time.
            Err(fault) if fault.code == Code::IdempotencyKeyReused => Ok(()),
            Err(fault) => Err(explained(fault)),
        }
    }

    async fn option(&self, drop: &Drop) -> Result<(Store, OptionId)> {
        let named = ListStores { name: Some(drop.store.into()), ..ListStores::default() };
        let stores = self.market.catalog.list_stores(&self.ctx, named).await.map_err(explained)?.items;
        let store = stores.into_iter().find(|store| store.name == drop.store).context("its store is not there")?;
        let query = OwnItemsQuery { cursor: None, size: Some(PAGE_SIZE_MAX) };
        let own = ListOwnItems { seller: store.seller_id, store: store.id, query };
        let items = self.market.catalog.list_own_items(&self.ctx, own).await.map_err(explained)?.items;
        let item = items.iter().find(|item| item.name == drop.item);
        let option = item.and_then(|item: &Item| item.options.iter().find(|option| option.name == drop.option));
        Ok((store, option.context("its option is not there")?.id))
    }

    /// Waits until the order service has heard of the option.
    async fn arrive(&self, option: OptionId) -> Result<()> {
        let known = async {
            while self.market.order.availability(&self.ctx, vec![option]).await?.is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok::<(), Fault>(())
        };
        match tokio::time::timeout(WAIT_MAX, known).await {
            Ok(known) => known.map_err(explained),
            Err(_) => bail!("the order service has not heard of it within {} s", WAIT_MAX.as_secs()),
        }
    }

    async fn credit(&self, admin: MemberId, member: MemberId, key: &str) -> Result<()> {
        // The market's currency is that of an empty wallet.
        let wallet = self.market.payment.wallet(&self.ctx, member).await.map_err(explained)?;
        let body = CreditBody {
            amount: Money::new(CREDIT, wallet.balance.currency),
            reason: "환영합니다 Welcome to the demo market".into(),
        };
        let key = IdempotencyKey::parse(key).map_err(explained)?;
        let request = CreditWallet { admin, member, key, body };
        self.market.payment.credit_wallet(&self.ctx, request).await.map(|_| ()).map_err(explained)
    }
}

fn explained(fault: Fault) -> anyhow::Error {
    anyhow!("the market answered: {fault}")
}

#[cfg(test)]
mod tests {
    use contract::catalog::ListItems;
    use contract::order::ListSales;

    use super::*;
    use crate::import::tests::with_market;

    #[tokio::test]
    async fn the_demo_market_is_filled_once() {
        with_market(async |market| {
            let ctx = Ctx::internal(&SystemIds);
            let now = SystemClock.now();
            for _ in 0..2 {
                fill(market).await.expect("filled");
                let all = ListItems { size: Some(100), ..ListItems::default() };
                let items = market.catalog.list_items(&ctx, all).await.expect("items").items;
                assert_eq!(items.len(), 40);
                let sales = market.order.list_sales(&ctx, ListSales::default()).await.expect("sales").items;
                let opening: Vec<bool> = sales.iter().map(|sale| sale.opens_at > sale.now).collect();
                assert_eq!(opening, [false, true]);
                assert!(sales[1].opens_at.since(now) >= 5 * 60_000);
                assert_eq!(sales[0].lines[0].available, DROPS[0].quantity);
                let demo = Demo { market, ctx: ctx.clone() };
                for buyer in &demo.enroll().await.expect("people")[4..] {
                    let wallet = market.payment.wallet(&ctx, *buyer).await.expect("wallet");
                    assert_eq!(wallet.balance.amount, CREDIT);
                }
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_filling_that_was_interrupted_is_finished() {
        with_market(async |market| {
            let demo = Demo { market, ctx: Ctx::internal(&SystemIds) };
            demo.enroll().await.expect("people");
            import::run_texts(market, &TEXTS).await.expect("imported");
            demo.open_drop(&DROPS[0], SystemClock.now()).await.expect("opened");
            fill(market).await.expect("filled");
            let sales = market.order.list_sales(&demo.ctx, ListSales::default()).await.expect("sales").items;
            assert_eq!(sales.len(), DROPS.len());
        })
        .await;
    }

    #[test]
    fn everybody_can_be_told_who_to_be() {
        let text = accounts();
        assert!(ACCOUNTS.iter().all(|account| text.contains(account.email)) && text.contains(PASSWORD));
    }
}
