//! How a line moves. Pure: no clock, no database.

use contract::order::OrderState;
use kit::{Code, Fault, Result};

/// What can happen to a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Pay,
    Cancel,
    Expire,
}

impl Step {
    /// The word kept as the reason of the change.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Pay => "paid",
            Self::Cancel => "cancelled by the buyer",
            Self::Expire => "hold expired",
        }
    }
}

/// Where `step` leads from `state`. Errors: `illegal_move`.
pub fn next(state: OrderState, step: Step) -> Result<OrderState> {
    match (state, step) {
        (OrderState::Held, Step::Pay) => Ok(OrderState::Paid),
        (OrderState::Held, Step::Cancel) => Ok(OrderState::Cancelled),
        (OrderState::Held, Step::Expire) => Ok(OrderState::Expired),
        (OrderState::Paid | OrderState::Expired | OrderState::Cancelled, Step::Pay | Step::Cancel | Step::Expire) => {
            Err(Fault::new(Code::IllegalMove).fact("state", state))
        }
    }
}

/// The text form in the database.
pub fn text(state: OrderState) -> &'static str {
    match state {
        OrderState::Held => "held",
        OrderState::Paid => "paid",
        OrderState::Expired => "expired",
        OrderState::Cancelled => "cancelled",
    }
}

pub const ALL: [OrderState; 4] = [OrderState::Held, OrderState::Paid, OrderState::Expired, OrderState::Cancelled];

/// Errors: `internal` for a text that no version of this program writes.
pub fn parse(state: &str) -> Result<OrderState> {
    let known = ALL.into_iter().find(|s| text(*s) == state);
    known.ok_or_else(|| Fault::internal(format!("line state {state:?}")))
}

/// The state of an order whose lines are in `states`: that of the line furthest behind on the way to the buyer, and
/// an ended one only when all have ended.
pub fn of_order(states: impl IntoIterator<Item = OrderState>) -> OrderState {
    let rank = |state: &OrderState| match state {
        OrderState::Held => 0,
        OrderState::Paid => 1,
        OrderState::Cancelled => 2,
        OrderState::Expired => 3,
    };
    states.into_iter().min_by_key(rank).unwrap_or(OrderState::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_held_line_moves() {
        for state in ALL {
            for step in [Step::Pay, Step::Cancel, Step::Expire] {
                assert_eq!(next(state, step).is_ok(), state == OrderState::Held, "{state:?} {step:?}");
            }
        }
    }

    #[test]
    fn texts_round_trip() {
        for state in ALL {
            assert_eq!(parse(text(state)).expect("own text"), state);
        }
        assert!(parse("lost").is_err());
    }
}
