//! R8: on one PostgreSQL server, batched purchases through HTTP against a row lock per order over direct connections.
//!
//! The comparison is generous to the lock: no HTTP, no token, no checks, the best of several numbers of connections.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Connection as _, PgPool};
use uuid::Uuid;

use crate::bench::figure::{Better, Figure, Figures, median};
use crate::bench::load::{Expect, Pace, closed};
use crate::bench::rig::{Bench, PLENTY, Rig};
use crate::progress::{bar, done};
use crate::stage::order_body;

/// Direct connections; the best counts.
const LOCKERS: [usize; 3] = [4, 16, 64];
const IN_FLIGHT_MIN: usize = 256;
const SETTINGS: &str = "[order]\nhold_minutes = 1440";

const TABLES: &str = "
DROP SCHEMA IF EXISTS row_lock CASCADE;
CREATE SCHEMA row_lock;
CREATE TABLE row_lock.stock (option_id uuid PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0));
CREATE TABLE row_lock.orders (
    id uuid PRIMARY KEY, member_id uuid NOT NULL, state bigint NOT NULL, total bigint NOT NULL,
    placed_at_ms bigint NOT NULL, hold_expires_at_ms bigint NOT NULL);
CREATE INDEX ON row_lock.orders (member_id, id);
CREATE TABLE row_lock.line (
    order_id uuid NOT NULL, line_no bigint NOT NULL, option_id uuid NOT NULL, quantity bigint NOT NULL,
    unit_price bigint NOT NULL, PRIMARY KEY (order_id, line_no));
CREATE TABLE row_lock.idempotency (
    member_id uuid NOT NULL, operation bigint NOT NULL, key text NOT NULL, fingerprint bigint NOT NULL,
    order_id uuid NOT NULL, created_at_ms bigint NOT NULL, PRIMARY KEY (member_id, operation, key));
";

/// Measures; also how many breaches the audit found afterwards.
pub async fn measure(bench: &Bench, url: &str) -> Result<(Figures, usize)> {
    let rig = Rig::build(bench, SETTINGS, Some(url)).await?;
    let (option, drop) = rig.drop_of(PLENTY, None, 0).await?;
    let body = order_body(option, Some(drop), 1);
    let shop = Shop::open(url).await?;
    let pace = Pace { connections: bench.pace.connections.max(IN_FLIGHT_MIN), ..bench.pace };
    let progress = bar("R8", (bench.rounds * (1 + LOCKERS.len())) as u64);
    let (mut ours, mut locks) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let ask = || rig.order("/v1/orders", &body);
        ours.push(closed(&rig.target(), rig.pid(), pace, Expect::Created, ask).await?.per_second);
        progress.inc(1);
        let mut best = (0.0_f64, 0);
        for lockers in LOCKERS {
            let rate = shop.per_second(pace, lockers).await?;
            if rate > best.0 {
                best = (rate, lockers);
            }
            progress.inc(1);
        }
        locks.push(best);
    }
    let breaches = rig.close().await?;
    done(&progress, format!("PostgreSQL in {} rounds", bench.rounds));
    let rounds: Vec<f64> = ours.iter().zip(&locks).map(|(ours, lock)| ours / lock.0).collect();
    let best_of: Vec<String> = locks.iter().map(|(_, lockers)| lockers.to_string()).collect();
    let figure = Figure {
        per_second: Some([median(&ours), median(&locks.iter().map(|lock| lock.0).collect::<Vec<_>>())]),
        ..Figure::new("PostgreSQL: batched through HTTP ÷ a row lock per order, direct", &rounds, Better::Higher)
            .within(2.0, 10.0)
            .conditions(format!(
                "throughput; PostgreSQL and the market share the server's core; {} in flight; best of {LOCKERS:?} direct \
                 connections ({}); both synced; {} rounds of {:.0} s",
                pace.connections,
                best_of.join(", "),
                bench.rounds,
                pace.window.as_secs_f64()
            ))
    };
    Ok((Figures::from([("R8".into(), figure)]), breaches))
}

/// The other way to do it.
struct Shop {
    pool: PgPool,
    option: Uuid,
    members: Vec<Uuid>,
    keys: Cell<u64>,
}

impl Shop {
    async fn open(url: &str) -> Result<Self> {
        let connections = LOCKERS.into_iter().max().unwrap_or(1) as u32;
        let pool = PgPoolOptions::new().min_connections(connections).max_connections(connections).connect(url).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await.context("the tables of the comparison")?;
        let option = Uuid::now_v7();
        sqlx::query("INSERT INTO row_lock.stock VALUES ($1, $2)").bind(option).bind(PLENTY).execute(&pool).await?;
        let members = (0..1_000).map(|_| Uuid::now_v7()).collect();
        Ok(Self { pool, option, members, keys: Cell::new(0) })
    }

    async fn per_second(&self, pace: Pace, lockers: usize) -> Result<f64> {
        let over = Cell::new(false);
        let sold = RefCell::new(0_u64);
        let locker = async || -> Result<()> {
            let mut connection = self.pool.acquire().await?;
            while !over.get() {
                let n = self.keys.get();
                self.keys.set(n + 1);
                self.buy(&mut connection, n).await?;
                *sold.borrow_mut() += 1;
            }
            Ok(())
        };
        let watch = async {
            tokio::time::sleep(pace.warm).await;
            let begun = (*sold.borrow(), Instant::now());
            tokio::time::sleep(pace.window).await;
            over.set(true);
            (*sold.borrow() - begun.0) as f64 / begun.1.elapsed().as_secs_f64()
        };
        let (rate, done) = futures_util::future::join(watch, join_all((0..lockers).map(|_| locker()))).await;
        done.into_iter().collect::<Result<()>>()?;
        Ok(rate)
    }

    /// Everything that one order must leave behind, in a transaction of its own.
    async fn buy(&self, connection: &mut PgConnection, n: u64) -> Result<()> {
        let member = self.members[usize::try_from(n)? % self.members.len()];
        let (order, at_ms) = (Uuid::now_v7(), i64::try_from(n)?);
        let mut txn = connection.begin().await?;
        sqlx::query("SELECT available FROM row_lock.stock WHERE option_id = $1 FOR UPDATE")
            .bind(self.option)
            .fetch_one(&mut *txn)
            .await?;
        sqlx::query("UPDATE row_lock.stock SET available = available - 1 WHERE option_id = $1 AND available >= 1")
            .bind(self.option)
            .execute(&mut *txn)
            .await?;
        sqlx::query("INSERT INTO row_lock.orders VALUES ($1, $2, 0, 9900, $3, $4)")
            .bind(order)
            .bind(member)
            .bind(at_ms)
            .bind(at_ms + 600_000)
            .execute(&mut *txn)
            .await?;
        sqlx::query("INSERT INTO row_lock.line VALUES ($1, 0, $2, 1, 9900)")
            .bind(order)
            .bind(self.option)
            .execute(&mut *txn)
            .await?;
        sqlx::query("INSERT INTO row_lock.idempotency VALUES ($1, 1, $2, 0, $3, $4)")
            .bind(member)
            .bind(format!("bench-0000-{n:012}"))
            .bind(order)
            .bind(at_ms)
            .execute(&mut *txn)
            .await?;
        Ok(txn.commit().await?)
    }
}
