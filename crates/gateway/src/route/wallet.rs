//! Wallets.

use axum::extract::State;
use contract::payment::{CreditBody, CreditWallet, ListWalletEntries, Wallet, WalletEntry, WalletQuery};
use kit::Page;
use kit::id::MemberId;

use crate::app::Shared;
use crate::auth::{Admin, Buyer};
use crate::input::{Ask, At, Json, Key, KeyHeader};
use crate::problem::Answer;
use crate::reply::{Done, Found};

/// Read the own wallet
#[utoipa::path(get, path = "/v1/wallet", tag = "Wallet", operation_id = "wallet",
    responses((status = 200, body = Wallet, description = "The wallet")), security(("token" = ["buyer"])))]
pub(crate) async fn find(buyer: Buyer, State(app): State<Shared>) -> Answer<Found<Wallet>> {
    Ok(Found(app.payment.wallet(buyer.ctx(), buyer.id).await?))
}

/// List movements of the own wallet
///
/// Newest first.
#[utoipa::path(get, path = "/v1/wallet/entries", tag = "Wallet", operation_id = "list_wallet_entries",
    params(WalletQuery), responses((status = 200, body = Page<WalletEntry>, description = "A page of movements")),
    security(("token" = ["buyer"])), extensions(("x-problems" = json!(["bad_cursor"]))))]
pub(crate) async fn entries(
    buyer: Buyer,
    Ask(query): Ask<WalletQuery>,
    State(app): State<Shared>,
) -> Answer<Found<Page<WalletEntry>>> {
    let query = WalletQuery { size: app.settings.page_size(query.size), ..query };
    Ok(Found(app.payment.list_wallet_entries(buyer.ctx(), ListWalletEntries { member: buyer.id, query }).await?))
}

/// Put money into a wallet
#[utoipa::path(post, path = "/v1/admin/members/{member_id}/credit", tag = "Wallet", operation_id = "credit_wallet",
    params(("member_id" = MemberId, Path), KeyHeader), request_body = CreditBody,
    responses((status = 200, body = WalletEntry, description = "Credited")), security(("token" = ["admin"])),
    extensions(("x-problems" = json!(["amount_out_of_range", "currency_mismatch"]))))]
pub(crate) async fn credit(
    admin: Admin,
    At(member): At<MemberId>,
    Key(key): Key,
    State(app): State<Shared>,
    Json(body): Json<CreditBody>,
) -> Answer<Done<WalletEntry>> {
    let credit = CreditWallet { admin: admin.id, member, key, body };
    Ok(Done(app.payment.credit_wallet(admin.ctx(), credit).await?))
}
