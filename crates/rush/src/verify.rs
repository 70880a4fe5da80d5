//! Checks the outcome from outside: what buyers and the seller can see must agree with every answer that was given.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use contract::order::{OrderState, OrderView, Placed, PlacedLine, Stock};
use http::StatusCode;
use indicatif::ProgressBar;
use kit::audit::Check;
use kit::id::OrderId;
use kit::{Code, Page};

use crate::crowd::Event;
use crate::fairness;
use crate::finding::Finding;
use crate::fleet;
use crate::record::{Outcome, Press, Purpose, Record, Verdict};
use crate::stage::{Desk, stock_path};
use crate::wire::{Answer, Ask, Connection};

/// What was found, and the numbers behind it.
pub struct Findings {
    pub checks: Vec<Check>,
    /// Units sold, as the seller sees it.
    pub sold: i64,
    /// Units given beyond those that existed.
    pub oversold: i64,
    /// Orders that nobody was told of: a second one for the same request, or one for a refused request.
    pub duplicated: i64,
    /// Acknowledged orders that are gone or differ from what was answered.
    pub lost: i64,
}

/// How often a reading is repeated when its answer is lost.
const READS_MAX: u32 = 5;

/// What each buyer sees of the own orders, or why it could not be read.
type Seen = Vec<Result<Vec<OrderView>>>;

/// Reads everything back and compares.
pub async fn verify(event: &Event, record: &Record, bar: &ProgressBar) -> Result<Findings> {
    let connections = event.connections as usize;
    let stock: Stock = Desk::new(&event.target).get(&stock_path(event.option), &event.seller).await?;
    let holds: Vec<(&Press, &Placed)> = record.holds().collect();
    bar.set_length((event.buyers.len() + holds.len()) as u64);

    let buyers: Vec<usize> = (0..event.buyers.len()).collect();
    let read = async |connection: &mut Connection<'_>, buyer: usize| read_orders(event, connection, buyer).await;
    let seen: Seen = fleet::each(&event.target, connections, buyers, bar, read).await;
    let again = async |connection: &mut Connection<'_>, (press, placed): (&Press, &Placed)| {
        replay(event, connection, press, placed).await
    };
    let replays = fleet::each(&event.target, connections, holds, bar, again).await;

    let (kept, lost) = kept(record, &seen);
    let (unknown, duplicated) = nothing_else(event, record, &seen);
    let (units, oversold) = units(event, record, &stock);
    let checks = vec![
        answers(record),
        units,
        kept,
        unknown,
        once(replays),
        limits(event, record, &seen),
        fairness::judge(record),
    ];
    Ok(Findings { checks, sold: stock.sold, oversold, duplicated, lost })
}

async fn read_orders(event: &Event, connection: &mut Connection<'_>, buyer: usize) -> Result<Vec<OrderView>> {
    let ask = Ask::get("/v1/orders?size=100")?.token(&event.buyers[buyer].token);
    let page: Page<OrderView> = read(connection, &ask).await?.success().context("reading orders")?;
    ensure!(page.next.is_none(), "buyer {} has more than 100 orders", event.buyers[buyer].id);
    Ok(page.items)
}

/// Sends an answered request once more.
async fn replay(event: &Event, connection: &mut Connection<'_>, press: &Press, placed: &Placed) -> Result<()> {
    let ask = Ask::post("/v1/orders", press.body.clone())?.token(&event.buyers[press.buyer].token).key(&press.key)?;
    let answer = read(connection, &ask).await?;
    let order = placed.order_id;
    let again: Placed = answer.success().with_context(|| format!("order {order}, asked again"))?;
    ensure!(answer.status == StatusCode::CREATED, "order {order}, asked again, got {}", answer.status);
    ensure!(again == *placed, "order {order}, asked again, got another answer (order {})", again.order_id);
    ensure!(answer.replayed, "order {order}, asked again, was not marked as a repeated answer");
    Ok(())
}

async fn read(connection: &mut Connection<'_>, ask: &Ask) -> Result<Answer> {
    for _ in 0..READS_MAX {
        if let Ok(answer) = connection.send(ask).await
            && !answer.status.is_server_error()
        {
            return Ok(answer);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bail!("{} {}: no answer", ask.method, ask.uri)
}

/// Everybody was answered, and nobody was told anything strange.
fn answers(record: &Record) -> Check {
    let mut finding = Finding::new("answers", "every request got one answer, and a fitting one");
    for press in &record.presses {
        let fits = match (&press.verdict, press.purpose) {
            (Verdict::Held(_), Purpose::Rush | Purpose::Again) => true,
            (Verdict::SoldOut, Purpose::Rush | Purpose::Again | Purpose::Greed) => true,
            (Verdict::Refused(code), Purpose::Early) => code == Code::SaleNotOpen.as_str(),
            (Verdict::Refused(code), Purpose::Greed) => code == Code::OverLimit.as_str(),
            (Verdict::Held(_) | Verdict::SoldOut | Verdict::Refused(_) | Verdict::Unanswered, _) => false,
        };
        finding.must(fits, || format!("{:?} press of buyer {}: {}", press.purpose, press.buyer, said(&press.verdict)));
    }
    for payment in &record.payments {
        let fits = matches!(payment.outcome, Outcome::Paid | Outcome::TooLate);
        finding.must(fits, || format!("payment of order {}: {:?}", payment.order, payment.outcome));
    }
    finding.must(record.trouble.errors == 0, || format!("{} answers were server errors", record.trouble.errors));
    record.failures.iter().for_each(|failure| finding.breach(failure.clone()));
    finding.done()
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Held(placed) => format!("got order {}", placed.order_id),
        Verdict::SoldOut => "sold out".into(),
        Verdict::Refused(code) => format!("refused with {code}"),
        Verdict::Unanswered => "never answered".into(),
    }
}

/// Nothing was sold that was not there, and nothing is missing.
fn units(event: &Event, record: &Record, stock: &Stock) -> (Check, i64) {
    let mut finding = Finding::new("I2", "sold and left are exactly the units there were");
    let units = i64::from(event.units);
    let left = stock.available + stock.set_aside;
    let accounted = stock.sold + left + stock.held + stock.written_off;
    finding.must(accounted == units, || format!("{units} units were there, {accounted} are accounted for: {stock:?}"));
    finding.must(left >= 0 && stock.held >= 0 && stock.sold >= 0, || format!("a count is below zero: {stock:?}"));
    let paid = paid(record).len() as i64;
    finding.must(stock.sold == paid, || format!("{paid} units were paid, {} count as sold", stock.sold));
    finding.must(stock.held == 0, || format!("{} units are still held", stock.held));
    let at_once = fairness::before_any_end(record).count() as i64;
    finding.must(at_once <= units, || format!("{at_once} units were given before one came back, of {units}"));
    let oversold = (stock.sold.max(paid).max(at_once) - units).max(0);
    (finding.done(), oversold)
}

/// Each acknowledged order exists as it was answered.
fn kept(record: &Record, seen: &Seen) -> (Check, i64) {
    let mut finding = Finding::new("I3", "every acknowledged order is there, as it was answered");
    let paid = paid(record);
    let views: Vec<HashMap<OrderId, &OrderView>> =
        seen.iter().map(|orders| orders.iter().flatten().map(|view| (view.id, view)).collect()).collect();
    for (press, placed) in record.holds() {
        let found = match (&seen[press.buyer], views[press.buyer].get(&placed.order_id)) {
            (Err(e), _) => Err(anyhow!("{e:#}")),
            (Ok(_), None) => Err(anyhow!("is gone")),
            (Ok(_), Some(view)) => same(placed, view, paid.contains(&placed.order_id)),
        };
        finding.looked_at(1);
        if let Err(e) = found {
            finding.breach(format!("order {} {e}", placed.order_id));
        }
    }
    let lost = finding.count;
    (finding.done(), lost)
}

fn same(placed: &Placed, view: &OrderView, paid: bool) -> Result<()> {
    let lines: Vec<PlacedLine> = view
        .lines
        .iter()
        .map(|line| PlacedLine {
            option_id: line.option_id,
            sale_id: line.sale_id,
            quantity: line.quantity,
            unit_price: line.unit_price,
        })
        .collect();
    ensure!(lines == placed.lines, "has other lines than were answered");
    ensure!(view.total == placed.total, "costs {}, answered was {}", view.total, placed.total);
    ensure!(view.placed_at == placed.placed_at, "was placed at {}, answered was {}", view.placed_at, placed.placed_at);
    let expected = if paid { OrderState::Paid } else { OrderState::Expired };
    ensure!(view.state == expected, "is {:?}, should be {expected:?}", view.state);
    Ok(())
}

/// No buyer has an order that was never acknowledged.
fn nothing_else(event: &Event, record: &Record, seen: &Seen) -> (Check, i64) {
    let mut finding = Finding::new("I4", "nobody has an order for a refused request, or two for one");
    let known: HashSet<OrderId> = record.holds().map(|(_, placed)| placed.order_id).collect();
    for (buyer, orders) in event.buyers.iter().zip(seen) {
        finding.looked_at(1);
        for view in orders.iter().flatten().filter(|view| !known.contains(&view.id)) {
            finding.breach(format!("buyer {} has order {}, of which nobody was told", buyer.id, view.id));
        }
    }
    let duplicated = finding.count;
    (finding.done(), duplicated)
}

fn once(replays: Vec<Result<()>>) -> Check {
    let mut finding = Finding::new("I9", "a repeated key gets the first answer again, marked as such");
    finding.looked_at(replays.len());
    replays.into_iter().filter_map(Result::err).for_each(|e| finding.breach(format!("{e:#}")));
    finding.done()
}

/// Nobody has more than the limit, expired holds aside; and nobody was given more while no hold had ended.
fn limits(event: &Event, record: &Record, seen: &Seen) -> Check {
    let mut finding = Finding::new("I10", "no member has more than the limit, or ever had");
    let limit = i64::from(event.limit);
    let mut given = vec![0; event.buyers.len()];
    for (press, placed) in fairness::before_any_end(record) {
        given[press.buyer] += placed.lines.iter().map(|line| line.quantity).sum::<i64>();
    }
    for ((buyer, orders), given) in event.buyers.iter().zip(seen).zip(given) {
        let counted = orders.iter().flatten().filter(|view| matches!(view.state, OrderState::Held | OrderState::Paid));
        let has: i64 = counted.flat_map(|view| &view.lines).map(|line| line.quantity).sum();
        finding.must(has.max(given) <= limit, || format!("buyer {} got {} units", buyer.id, has.max(given)));
    }
    finding.done()
}

fn paid(record: &Record) -> HashSet<OrderId> {
    record.payments.iter().filter(|payment| payment.outcome == Outcome::Paid).map(|payment| payment.order).collect()
}
