//! First come first served, as far as it can be judged from outside.
//!
//! From outside nobody knows in which order the market received two requests that were on their way together. But
//! a request that was *sent after* somebody's definite refusal for stock *was received* certainly came later than the
//! refused one. If it got a unit although no hold can have ended in between, somebody jumped the queue.

use std::collections::HashSet;
use std::time::Duration;

use contract::order::Placed;
use kit::audit::Check;
use kit::id::OrderId;

use crate::finding::Finding;
use crate::record::{Outcome, Press, Purpose, Record, Verdict};

/// Judges the presses made before the first hold can have ended.
pub fn judge(record: &Record) -> Check {
    let mut finding = Finding::new("I11", "first come, first served: nobody got what an earlier request was refused");
    // Greed asks for more than one unit: the last one may well go to somebody after it.
    let single = record.presses.iter().filter(|press| press.purpose != Purpose::Greed);
    let refused = single.filter(|press| press.verdict == Verdict::SoldOut);
    let first_refusal = refused.map(|press| press.answered).min();
    for (press, placed) in before_any_end(record) {
        let late = first_refusal.and_then(|refusal| press.sent.checked_sub(refusal)).unwrap_or_default();
        finding.must(late.is_zero(), || {
            format!("order {} was asked for {late:?} after somebody was refused", placed.order_id)
        });
    }
    finding.done()
}

/// The units that were given before the first hold can have ended.
pub fn before_any_end(record: &Record) -> impl Iterator<Item = (&Press, &Placed)> {
    let until = earliest_end(record);
    record.holds().filter(move |(press, _)| press.answered < until)
}

/// The earliest instant at which a hold can have ended: those of orders that were never paid, counted from the sending
/// of the request, which is not after the market gave the hold.
fn earliest_end(record: &Record) -> Duration {
    let paid = record.payments.iter().filter(|payment| payment.outcome == Outcome::Paid);
    let paid: HashSet<OrderId> = paid.map(|payment| payment.order).collect();
    let unpaid = record.holds().filter(|(_, placed)| !paid.contains(&placed.order_id));
    let end = unpaid.map(|(press, placed)| {
        let hold_ms = placed.hold_expires_at.since(placed.placed_at);
        press.sent + Duration::from_millis(u64::try_from(hold_ms).unwrap_or(0))
    });
    end.min().unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Payment;
    use kit::{Currency, Millis, Money};

    const HOLD_MS: i64 = 100;

    /// A press sent and answered at these milliseconds; the number of its order when it got a hold.
    fn press(sent_ms: u64, answered_ms: u64, order: Option<u128>) -> Press {
        let verdict = match order {
            None => Verdict::SoldOut,
            Some(number) => Verdict::Held(Box::new(Placed {
                order_id: OrderId(uuid::Uuid::from_u128(number)),
                lines: Vec::new(),
                total: Money::new(0, Currency::KRW),
                placed_at: Millis(0),
                hold_expires_at: Millis(HOLD_MS),
            })),
        };
        let at = Duration::from_millis;
        Press {
            buyer: 0,
            purpose: Purpose::Rush,
            key: String::new(),
            body: bytes::Bytes::new(),
            intended: at(0),
            sent: at(sent_ms),
            answered: at(answered_ms),
            verdict,
        }
    }

    fn breaches(presses: Vec<Press>, paid: &[u128]) -> usize {
        let payment = |number: &u128| Payment {
            order: OrderId(uuid::Uuid::from_u128(*number)),
            answered: Duration::ZERO,
            outcome: Outcome::Paid,
        };
        judge(&Record { presses, payments: paid.iter().map(payment).collect(), ..Record::default() }).breaches.len()
    }

    #[test]
    fn only_who_certainly_came_later_has_jumped_the_queue() {
        // Sent before the refusal was received: they may have overtaken one another on the way.
        assert_eq!(breaches(vec![press(0, 10, None), press(9, 20, Some(1))], &[1]), 0);
        // Sent after it.
        assert_eq!(breaches(vec![press(0, 10, None), press(11, 20, Some(1))], &[1]), 1);
        // Sent after it, but an unpaid hold had ended by then.
        assert_eq!(breaches(vec![press(0, 10, None), press(0, 5, Some(1)), press(101, 120, Some(2))], &[2]), 0);
        // Sent after it, before any unpaid hold can have ended.
        assert_eq!(breaches(vec![press(0, 10, None), press(0, 5, Some(1)), press(20, 99, Some(2))], &[2]), 1);
        // The hold that ended was paid: it gave nothing back.
        assert_eq!(breaches(vec![press(0, 10, None), press(0, 5, Some(1)), press(101, 120, Some(2))], &[1, 2]), 1);
        assert_eq!(breaches(Vec::new(), &[]), 0);
    }
}
