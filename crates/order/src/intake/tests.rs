//! The decision against a plain model: whatever arrives in whatever order, the laws hold.

use std::collections::{BTreeMap, BTreeSet};

use contract::IdempotencyKey;
use contract::order::LineBody;
use kit::id::{AttemptId, MemberId, OptionId, OrderId, StoreId};
use kit::{Code, Currency, Millis, Money, SystemIds};
use proptest::prelude::*;
use uuid::Uuid;

use super::decide::{Answer, Effects, Rules, decide};
use super::job::{Claim, Job, Move, MoveJob, Operation, PlaceJob};
use super::snapshot::{Limit, Snapshot, StockKey, StockRow};

const PRICE: i64 = 10;
const OPTIONS: u128 = 3;
const MEMBERS: u128 = 4;

/// What a client might send, in small numbers so that everything collides.
#[derive(Clone, Debug)]
enum Wish {
    Place { member: u128, key: u8, option: u128, quantity: i64, second: Option<u128>, wrong_total: bool },
    Cancel { order: usize, member: u128 },
    Begin { order: usize, attempt: u128 },
    End { order: usize, attempt: u128, captured: bool },
    Expire { order: usize },
    Wait(i64),
}

fn wish() -> impl Strategy<Value = Wish> {
    let place =
        (0..MEMBERS, 0..6_u8, 0..OPTIONS, 1..4_i64, proptest::option::of(0..OPTIONS), proptest::bool::weighted(0.1));
    prop_oneof![
        6 => place.prop_map(|(member, key, option, quantity, second, wrong_total)| Wish::Place {
            member, key, option, quantity, second, wrong_total
        }),
        2 => (0..20_usize, 0..MEMBERS).prop_map(|(order, member)| Wish::Cancel { order, member }),
        2 => (0..20_usize, 0..3_u128).prop_map(|(order, attempt)| Wish::Begin { order, attempt }),
        2 => (0..20_usize, 0..3_u128, any::<bool>())
            .prop_map(|(order, attempt, captured)| Wish::End { order, attempt, captured }),
        1 => (0..20_usize).prop_map(|order| Wish::Expire { order }),
        1 => (1..2_000_i64).prop_map(Wish::Wait),
    ]
}

/// The market as it would be after every batch was written; carried from batch to batch by the snapshot itself.
struct World {
    snapshot: Snapshot,
    now: Millis,
    placed: Vec<OrderId>,
    held: BTreeMap<StockKey, i64>,
    sold: BTreeMap<StockKey, i64>,
}

const UNITS: [i64; OPTIONS as usize] = [1, 5, 20];

fn key_of(option: u128) -> StockKey {
    StockKey::new(OptionId(Uuid::from_u128(option + 1)), None)
}

impl World {
    fn new() -> Self {
        let mut snapshot = Snapshot::default();
        for (option, units) in (0..OPTIONS).zip(UNITS) {
            let row = StockRow {
                offer: Uuid::from_u128(9),
                item: kit::id::ItemId(Uuid::from_u128(8)),
                store: StoreId(Uuid::from_u128(7)),
                price: PRICE,
                on_sale: true,
                available: units,
                limit: (option == 2).then_some(Limit { quantity: 4, days: None }),
                window: None,
            };
            snapshot.stock.insert(key_of(option), row);
        }
        Self { snapshot, now: Millis(0), placed: Vec::new(), held: BTreeMap::new(), sold: BTreeMap::new() }
    }

    fn job(&self, wish: &Wish) -> Option<Job> {
        let member = |n: u128| MemberId(Uuid::from_u128(100 + n));
        let moved = |order: usize, what: Move| {
            let order = *self.placed.get(order)?;
            Some(Job::Move(MoveJob { order, what }))
        };
        let attempt = |n: u128| AttemptId(Uuid::from_u128(200 + n));
        match *wish {
            Wish::Place { member: who, key, option, quantity, second, wrong_total } => {
                let line = |option, quantity| LineBody { option_id: key_of(option).option, quantity, sale_id: None };
                let mut lines = vec![line(option, quantity)];
                lines.extend(second.map(|option| line(option, 1)));
                let units: i64 = lines.iter().map(|line| line.quantity).sum();
                let total = Money::new(units * PRICE + i64::from(wrong_total), Currency::KRW);
                let fingerprint = db::idempotency::fingerprint(&(&lines, total));
                let claim = claim(member(who), Operation::Place, &format!("p{key}"), fingerprint);
                Some(Job::Place(PlaceJob { member: member(who), claim, lines, total }))
            }
            Wish::Cancel { order, member: who } => {
                let claim = claim(member(who), Operation::Cancel, &format!("c{order}"), 1);
                moved(order, Move::Cancel { member: member(who), claim })
            }
            Wish::Begin { order, attempt: n } => {
                let id = *self.placed.get(order)?;
                let owner = self.snapshot.orders.get(&id)?.member;
                moved(order, Move::BeginPayment { member: owner, attempt: attempt(n) })
            }
            Wish::End { order, attempt: n, captured } => {
                moved(order, Move::EndPayment { attempt: attempt(n), captured })
            }
            Wish::Expire { order } => moved(order, Move::Expire),
            Wish::Wait(_) => None,
        }
    }

    /// Decides a batch and keeps count by the effects alone, as the database would.
    fn run(&mut self, wishes: &[Wish]) -> Result<(), TestCaseError> {
        let jobs: Vec<Job> = wishes.iter().filter_map(|wish| self.job(wish)).collect();
        for wish in wishes {
            if let Wish::Wait(ms) = wish {
                self.now = self.now.plus_ms(*ms);
            }
        }
        let refs: Vec<&Job> = jobs.iter().collect();
        let rules = Rules { now: self.now, day: 0, hold_ms: 1_000, currency: Currency::KRW, ids: &SystemIds };
        let (answers, effects) = decide(&rules, &mut self.snapshot, &refs);
        self.apply(&effects)?;
        self.check_answers(&refs, &answers, &effects)?;
        self.placed.extend(effects.orders.iter().map(|new| new.placed.order_id));
        self.check_world()
    }

    fn apply(&mut self, effects: &Effects) -> Result<(), TestCaseError> {
        for (key, delta) in &effects.stock {
            prop_assert_eq!(delta.available + delta.held + delta.sold, 0, "units appeared or vanished");
            *self.held.entry(*key).or_insert(0) += delta.held;
            *self.sold.entry(*key).or_insert(0) += delta.sold;
        }
        for moved in effects.moves.values() {
            prop_assert!(moved.ended.is_none() || moved.from == contract::order::OrderState::Held);
        }
        Ok(())
    }

    fn check_answers(
        &self,
        jobs: &[&Job],
        answers: &[kit::Result<Answer>],
        effects: &Effects,
    ) -> Result<(), TestCaseError> {
        prop_assert_eq!(jobs.len(), answers.len());
        let accepted = answers.iter().filter(|answer| matches!(answer, Ok(Answer::Placed(_)))).count();
        prop_assert_eq!(accepted, effects.orders.len(), "an order for each acceptance and for nothing else");
        for (job, answer) in jobs.iter().zip(answers) {
            if let (Job::Place(place), Ok(Answer::Placed(placed) | Answer::Replayed(placed))) = (job, answer) {
                prop_assert_eq!(placed.total, place.total);
            }
            if let Err(fault) = answer {
                prop_assert_ne!(fault.code, Code::Internal);
            }
        }
        Ok(())
    }

    fn check_world(&self) -> Result<(), TestCaseError> {
        let mut held = BTreeMap::<StockKey, i64>::new();
        let mut sold = BTreeMap::<StockKey, i64>::new();
        let mut limited = BTreeMap::<MemberId, i64>::new();
        let mut seen = BTreeSet::new();
        for id in &self.placed {
            prop_assert!(seen.insert(*id), "one order, one acceptance");
            let Some(found) = self.snapshot.orders.get(id) else { continue };
            for line in &found.lines {
                match line.state {
                    contract::order::OrderState::Held => *held.entry(line.key).or_insert(0) += line.quantity,
                    contract::order::OrderState::Paid => *sold.entry(line.key).or_insert(0) += line.quantity,
                    _ => continue,
                }
                if line.key == key_of(2) {
                    *limited.entry(found.member).or_insert(0) += line.quantity;
                }
            }
        }
        prop_assert!(limited.values().all(|units| *units <= 4), "over the limit: {:?}", limited);
        for (option, units) in (0..OPTIONS).zip(UNITS) {
            let key = key_of(option);
            let count = |of: &BTreeMap<StockKey, i64>| of.get(&key).copied().unwrap_or(0);
            let available = self.snapshot.stock[&key].available;
            prop_assert!(available >= 0, "oversold");
            prop_assert_eq!(count(&held), count(&self.held));
            prop_assert_eq!(count(&sold), count(&self.sold));
            prop_assert_eq!(available + count(&held) + count(&sold), units);
        }
        Ok(())
    }
}

fn claim(member: MemberId, operation: Operation, key: &str, fingerprint: i64) -> Claim {
    Claim { member, operation, key: IdempotencyKey::parse(key).expect("key"), fingerprint }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn stock_limits_and_keys_hold_whatever_arrives(
        batches in proptest::collection::vec(proptest::collection::vec(wish(), 1..12), 1..20)
    ) {
        let mut world = World::new();
        for batch in &batches {
            world.run(batch)?;
        }
    }
}

#[test]
fn a_batch_is_decided_in_the_order_of_arrival() {
    let mut world = World::new();
    let place = |member| Wish::Place { member, key: 0, option: 0, quantity: 1, second: None, wrong_total: false };
    let jobs: Vec<Job> = (0..3).filter_map(|member| world.job(&place(member))).collect();
    let refs: Vec<&Job> = jobs.iter().collect();
    let rules = Rules { now: Millis(0), day: 0, hold_ms: 1_000, currency: Currency::KRW, ids: &SystemIds };
    let (answers, _) = decide(&rules, &mut world.snapshot, &refs);
    assert!(answers[0].is_ok());
    assert!(answers[1..].iter().all(|answer| answer.as_ref().is_err_and(|fault| fault.code == Code::SoldOut)));
}
