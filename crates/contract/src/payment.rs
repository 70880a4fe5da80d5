//! Payment: the double-entry ledger, wallets, and the paying of orders.

use garde::Validate;
use kit::id::{AttemptId, MemberId, OrderId, TransferId};
use kit::{Cursor, Millis, Money, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::check;
use crate::idempotency::{IdempotencyKey, Once};

rpc::service! {
    /// The ledger, wallets, and the paying of orders.
    pub trait Payment, client PaymentClient, name "payment" {
        /// An operator puts money into a wallet. Errors: `amount_out_of_range`, `currency_mismatch`,
        /// `idempotency_key_reused`.
        fn credit_wallet(CreditWallet) -> Once<WalletEntry>;
        /// A wallet that was never used is empty.
        fn wallet(MemberId) -> Wallet;
        fn list_wallet_entries(ListWalletEntries) -> Page<WalletEntry>;
        /// Pays a held order from the wallet. Errors: `not_found`, `hold_ended`, `payment_running`, `illegal_move`,
        /// `insufficient_funds`, `idempotency_key_reused`.
        fn pay(Pay) -> Once<Paid>;
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditBody {
    #[garde(skip)]
    pub amount: Money,
    /// Why, for the ledger.
    #[garde(length(chars, min = 1, max = 200), custom(check::no_nul))]
    #[schema(example = "welcome gift", min_length = 1, max_length = 200)]
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreditWallet {
    pub admin: MemberId,
    pub member: MemberId,
    pub key: IdempotencyKey,
    pub body: CreditBody,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Wallet {
    pub member_id: MemberId,
    pub balance: Money,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListWalletEntries {
    pub member: MemberId,
    pub query: WalletQuery,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WalletQuery {
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub cursor: Option<Cursor>,
    #[garde(range(min = 1, max = 100))]
    pub size: Option<usize>,
}

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// An operator's credit to a wallet.
    Credit,
    /// An order was paid.
    Order,
    /// A payment was undone because its order could not be delivered.
    Refund,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Order => "order",
            Self::Refund => "refund",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Credit, Self::Order, Self::Refund].into_iter().find(|cause| cause.as_str() == text)
    }
}

/// One movement of a wallet, signed: positive came in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WalletEntry {
    pub transfer_id: TransferId,
    pub amount: Money,
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub at: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Wallet,
}

#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayBody {
    #[garde(skip)]
    pub method: Method,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pay {
    pub member: MemberId,
    pub order: OrderId,
    pub key: IdempotencyKey,
    pub body: PayBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Paid {
    pub order_id: OrderId,
    pub attempt_id: AttemptId,
    pub amount: Money,
    pub paid_at: Millis,
}
