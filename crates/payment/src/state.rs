//! The life of one attempt to pay: its states, and the only moves between them.

use sea_orm::{DeriveActiveEnum, EnumIter};

/// ```text
/// started ──> reserved ──> captured ──> done
///    │           │             └──────> undone    (the order could not be paid any more: the money went back)
///    │           └──> declined ──> refused        (the wallet was short: the hold runs on)
///    └──────────────────────────> refused         (the order could not be paid at all)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub(crate) enum State {
    /// Written down. The order may or may not have heard of it.
    #[sea_orm(string_value = "started")]
    Started,
    /// The hold cannot expire; the amount is known.
    #[sea_orm(string_value = "reserved")]
    Reserved,
    /// The wallet was short. The order still has to be told.
    #[sea_orm(string_value = "declined")]
    Declined,
    /// The money has left the wallet. The order still has to be told.
    #[sea_orm(string_value = "captured")]
    Captured,
    #[sea_orm(string_value = "done")]
    Done,
    /// No money moved.
    #[sea_orm(string_value = "refused")]
    Refused,
    /// Money moved and moved back.
    #[sea_orm(string_value = "undone")]
    Undone,
}

/// What happened to an attempt. "Not known" is no event: it leaves the attempt where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter)]
pub(crate) enum Event {
    /// The order keeps its hold for this attempt.
    Reserved,
    /// The order refuses to be paid.
    TurnedAway,
    /// The wallet was debited.
    Debited,
    /// The wallet holds too little.
    Short,
    /// The order has let go of the attempt.
    Released,
    /// The order is paid.
    Confirmed,
    /// The order could not be paid any more, and the money went back to the wallet.
    Refunded,
}

/// A move that the graph does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IllegalMove {
    pub from: State,
    pub event: Event,
}

impl State {
    pub(crate) fn next(self, event: Event) -> Result<Self, IllegalMove> {
        match (self, event) {
            (Self::Started, Event::Reserved) => Ok(Self::Reserved),
            (Self::Started, Event::TurnedAway) => Ok(Self::Refused),
            (Self::Reserved, Event::Debited) => Ok(Self::Captured),
            (Self::Reserved, Event::Short) => Ok(Self::Declined),
            (Self::Declined, Event::Released) => Ok(Self::Refused),
            (Self::Captured, Event::Confirmed) => Ok(Self::Done),
            (Self::Captured, Event::Refunded) => Ok(Self::Undone),
            (Self::Started, Event::Debited | Event::Short | Event::Released | Event::Confirmed | Event::Refunded)
            | (
                Self::Reserved,
                Event::Reserved | Event::TurnedAway | Event::Released | Event::Confirmed | Event::Refunded,
            )
            | (
                Self::Declined,
                Event::Reserved
                | Event::TurnedAway
                | Event::Debited
                | Event::Short
                | Event::Confirmed
                | Event::Refunded,
            )
            | (Self::Captured, Event::Reserved | Event::TurnedAway | Event::Debited | Event::Short | Event::Released)
            | (
                Self::Done | Self::Refused | Self::Undone,
                Event::Reserved
                | Event::TurnedAway
                | Event::Debited
                | Event::Short
                | Event::Released
                | Event::Confirmed
                | Event::Refunded,
            ) => Err(IllegalMove { from: self, event }),
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        match self {
            Self::Started | Self::Reserved | Self::Declined | Self::Captured => false,
            Self::Done | Self::Refused | Self::Undone => true,
        }
    }

    /// For metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Reserved => "reserved",
            Self::Declined => "declined",
            Self::Captured => "captured",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Undone => "undone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::{ActiveEnum as _, Iterable as _};

    #[test]
    fn only_the_moves_of_the_graph_exist() {
        let legal = [
            (State::Started, Event::Reserved, State::Reserved),
            (State::Started, Event::TurnedAway, State::Refused),
            (State::Reserved, Event::Debited, State::Captured),
            (State::Reserved, Event::Short, State::Declined),
            (State::Declined, Event::Released, State::Refused),
            (State::Captured, Event::Confirmed, State::Done),
            (State::Captured, Event::Refunded, State::Undone),
        ];
        for from in State::iter() {
            for event in Event::iter() {
                let expected = legal.iter().find(|(f, e, _)| (*f, *e) == (from, event)).map(|(_, _, to)| *to);
                assert_eq!(from.next(event).ok(), expected, "{from:?} {event:?}");
            }
        }
    }

    #[test]
    fn nothing_leaves_an_end_and_every_other_state_can_reach_one() {
        for state in State::iter() {
            let exits = Event::iter().filter_map(|event| state.next(event).ok()).count();
            assert_eq!(exits == 0, state.has_ended(), "{state:?}");
            assert_eq!(state.name(), state.to_value());
        }
    }
}
