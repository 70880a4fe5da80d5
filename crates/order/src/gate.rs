//! The gate in front of the intake: refuses in memory what cannot succeed, so that a crowd that comes too early or
//! too late costs next to nothing.
//!
//! Invariants: it never lets anybody in that the intake would not decide about; it refuses nobody who might get an
//! answer again for a key used before (`holders`); it opens before anybody hears that units came back, and closes
//! only when nothing was opened since it looked (`version`). Several processes on one database cannot know of one
//! another's units here: there it only refuses before the opening.

use ahash::{AHashMap, AHashSet};
use contract::order::PlaceBody;
use kit::id::MemberId;
use kit::{Code, Fault, Millis, Result};
use parking_lot::RwLock;

use crate::intake::{StockKey, Window};

pub struct Gate {
    entries: RwLock<AHashMap<StockKey, Entry>>,
    /// Whether "sold out" can be known here.
    alone: bool,
}

#[derive(Default)]
struct Entry {
    window: Option<Window>,
    /// Counts openings.
    version: u64,
    sold_out: bool,
    /// Members with an order of these units that may still be asked for again; gathered while the gate is closing.
    holders: Option<AHashSet<MemberId>>,
}

/// Stock rows known at once; the rest goes to the intake.
const ENTRIES_MAX: usize = 1_000_000;

impl Gate {
    pub fn new(alone: bool) -> Self {
        Self { entries: RwLock::default(), alone }
    }

    /// Errors: `sale_not_open`, `sold_out`.
    pub fn check(&self, member: MemberId, body: &PlaceBody, now: Millis) -> Result<()> {
        let entries = self.entries.read();
        for (index, line) in body.lines.iter().enumerate() {
            let Some(entry) = entries.get(&StockKey::of(line)) else { continue };
            if let Some(window) = entry.window.filter(|window| now < window.opens_at) {
                return window.check(now).map_err(|fault| fault.fact("line", index));
            }
            let holds = entry.holders.as_ref().is_none_or(|holders| holders.contains(&member));
            if entry.sold_out && !holds {
                return Err(Fault::new(Code::SoldOut).fact("line", index).fact("available", 0));
            }
        }
        Ok(())
    }

    pub fn knows(&self, key: &StockKey) -> bool {
        self.entries.read().contains_key(key)
    }

    /// Units came back: from here on requests are decided by the intake again.
    pub fn open(&self, keys: impl IntoIterator<Item = StockKey>) {
        let mut entries = self.entries.write();
        for key in keys {
            if let Some(entry) = entries.get_mut(&key) {
                entry.version += 1;
                entry.sold_out = false;
            }
        }
    }

    /// `member` got units of `keys`. To be called before the member hears of it.
    pub fn accepted(&self, taken: &[(MemberId, StockKey)]) {
        let gathers = |entry: &Entry| entry.holders.is_some();
        let entries = self.entries.read();
        let gathering = taken.iter().any(|(_, key)| entries.get(key).is_some_and(gathers));
        drop(entries);
        if !gathering {
            return;
        }
        let mut entries = self.entries.write();
        for (member, key) in taken {
            if let Some(holders) = entries.get_mut(key).and_then(|entry| entry.holders.as_mut()) {
                holders.insert(*member);
            }
        }
    }

    /// Begins a look at `key`; give the version back to [`Self::close`].
    pub fn look(&self, key: StockKey) -> u64 {
        self.entries.read().get(&key).map_or(0, |entry| entry.version)
    }

    /// Notes what a look found, and whether the key may be closed.
    pub fn learn(&self, key: StockKey, window: Option<Window>, available: i64) -> bool {
        let mut entries = self.entries.write();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            return false;
        }
        let entry = entries.entry(key).or_default();
        entry.window = window;
        let closing = self.alone && available == 0 && !entry.sold_out;
        if closing {
            entry.holders.get_or_insert_default();
        }
        closing
    }

    /// Closes `key`, unless it was opened after the look that gave `version`. `holders` were read after [`Self::learn`].
    pub fn close(&self, key: StockKey, version: u64, holders: Vec<MemberId>) {
        let mut entries = self.entries.write();
        let Some(entry) = entries.get_mut(&key).filter(|entry| entry.version == version) else { return };
        entry.holders.get_or_insert_default().extend(holders);
        entry.sold_out = true;
    }
}

#[cfg(test)]
mod tests {
    use contract::order::LineBody;
    use kit::id::{OptionId, SaleId};
    use kit::{Currency, Ids as _, Money, SystemIds};

    use super::*;

    fn body(option: OptionId) -> PlaceBody {
        let line = LineBody { option_id: option, quantity: 1, sale_id: None };
        PlaceBody { lines: vec![line], total: Money::new(0, Currency::KRW) }
    }

    fn ids() -> (OptionId, MemberId, MemberId) {
        (OptionId(SystemIds.next()), MemberId(SystemIds.next()), MemberId(SystemIds.next()))
    }

    #[test]
    fn closes_for_strangers_and_not_for_holders() {
        let (option, holder, stranger) = ids();
        let (gate, key) = (Gate::new(true), StockKey::new(option, None));
        let version = gate.look(key);
        assert!(gate.learn(key, None, 0));
        gate.close(key, version, vec![holder]);
        assert!(gate.check(holder, &body(option), Millis(0)).is_ok());
        assert_eq!(gate.check(stranger, &body(option), Millis(0)).expect_err("closed").code, Code::SoldOut);
        gate.open([key]);
        assert!(gate.check(stranger, &body(option), Millis(0)).is_ok());
    }

    #[test]
    fn does_not_close_over_a_later_opening() {
        let (option, _, stranger) = ids();
        let (gate, key) = (Gate::new(true), StockKey::new(option, None));
        gate.learn(key, None, 1);
        let version = gate.look(key);
        assert!(gate.learn(key, None, 0));
        gate.open([key]);
        gate.close(key, version, Vec::new());
        assert!(gate.check(stranger, &body(option), Millis(0)).is_ok());
    }

    #[test]
    fn a_member_accepted_while_it_closes_is_a_holder() {
        let (option, late, _) = ids();
        let (gate, key) = (Gate::new(true), StockKey::new(option, None));
        gate.learn(key, None, 0);
        gate.accepted(&[(late, key)]);
        gate.close(key, 0, Vec::new());
        assert!(gate.check(late, &body(option), Millis(0)).is_ok());
    }

    #[test]
    fn before_the_opening_everybody_is_told_the_times() {
        let (option, member, _) = ids();
        let sale = SaleId(SystemIds.next());
        let (gate, key) = (Gate::new(false), StockKey::new(option, Some(sale)));
        let window = Window { sale, opens_at: Millis(10), closes_at: Millis(20) };
        gate.learn(key, Some(window), 0);
        let mut body = body(option);
        body.lines[0].sale_id = Some(sale);
        assert_eq!(gate.check(member, &body, Millis(9)).expect_err("early").code, Code::SaleNotOpen);
        assert!(gate.check(member, &body, Millis(10)).is_ok());
    }
}
