//! The tables that are read and written row by row. Accounts and entries are only touched by [`crate::ledger`].

/// One attempt to pay an order.
pub(crate) mod attempt {
    use kit::id::{AttemptId, MemberId, OrderId};
    use sea_orm::entity::prelude::*;

    use crate::state::State;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "attempt")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub member_id: Uuid,
        pub order_id: Uuid,
        pub key: String,
        pub fingerprint: i64,
        pub request_id: String,
        pub state: State,
        pub amount_minor: Option<i64>,
        pub refusal: Option<String>,
        pub tries: i64,
        pub next_try_at_ms: i64,
        pub created_at_ms: i64,
        pub ended_at_ms: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Model {
        pub(crate) fn attempt_id(&self) -> AttemptId {
            AttemptId(self.id)
        }

        pub(crate) fn order(&self) -> OrderId {
            OrderId(self.order_id)
        }

        pub(crate) fn member(&self) -> MemberId {
            MemberId(self.member_id)
        }
    }
}

/// One movement of money; its legs are the entries.
pub(crate) mod transfer {
    use sea_orm::entity::prelude::*;

    use crate::ledger::Cause;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "transfer")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub cause: Cause,
        pub cause_id: Uuid,
        pub order_id: Option<Uuid>,
        pub actor_id: Uuid,
        pub reason: Option<String>,
        pub request_id: String,
        pub created_at_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
