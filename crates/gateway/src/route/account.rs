//! Sign-up, verification, sessions, the own account, the published keys.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use contract::member::{
    Keys, Login, LoginBody, Me, Refresh, ResendVerification, SignUp, SignUpBuyer, SignUpSeller, Tokens, VerifyEmail,
};
use http::header::{CACHE_CONTROL, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use kit::Personal;

use crate::app::Shared;
use crate::auth::Anyone;
use crate::call::Public;
use crate::input::Json;
use crate::limit::{SignInDoor, SignUpDoor};
use crate::problem::Answer;
use crate::reply::{Accepted, Created, Found, Nothing};

/// Sign up as a buyer
///
/// Sends a mail with a link. The answer is the same whether or not the address has an account.
#[utoipa::path(post, path = "/v1/buyers", tag = "Members", operation_id = "sign_up_buyer", request_body = SignUpBuyer,
    responses((status = 202, description = "If the address is new, a mail is on its way")))]
pub(crate) async fn sign_up_buyer(
    SignUpDoor(call): SignUpDoor,
    State(app): State<Shared>,
    Json(body): Json<SignUpBuyer>,
) -> Answer<Accepted> {
    app.member.sign_up(&call.ctx, SignUp::Buyer(body)).await?;
    Ok(Accepted)
}

/// Sign up as a seller
///
/// Sends a mail with a link. The answer is the same whether or not the address has an account.
#[utoipa::path(post, path = "/v1/sellers", tag = "Members", operation_id = "sign_up_seller",
    request_body = SignUpSeller,
    responses((status = 202, description = "If the address is new, a mail is on its way")))]
pub(crate) async fn sign_up_seller(
    SignUpDoor(call): SignUpDoor,
    State(app): State<Shared>,
    Json(body): Json<SignUpSeller>,
) -> Answer<Accepted> {
    app.member.sign_up(&call.ctx, SignUp::Seller(body)).await?;
    Ok(Accepted)
}

/// Verify an e-mail address
///
/// With the token from the link in the mail; it works once, for 24 hours. Refresh the session afterwards: access
/// tokens say whether the address was verified when they were made.
#[utoipa::path(post, path = "/v1/verification", tag = "Members", operation_id = "verify_email",
    request_body = VerifyEmail, responses((status = 204, description = "Verified")),
    extensions(("x-problems" = json!(["bad_verification_token"]))))]
pub(crate) async fn verify_email(
    SignUpDoor(call): SignUpDoor,
    State(app): State<Shared>,
    Json(body): Json<VerifyEmail>,
) -> Answer<Nothing> {
    app.member.verify_email(&call.ctx, body).await?;
    Ok(Nothing)
}

/// Ask for a new verification mail
///
/// The link in the new mail replaces the old one. The answer is always the same.
#[utoipa::path(post, path = "/v1/verification/resend", tag = "Members", operation_id = "resend_verification",
    request_body = ResendVerification,
    responses((status = 202, description = "If the address waits for it, a mail is on its way")))]
pub(crate) async fn resend_verification(
    SignUpDoor(call): SignUpDoor,
    State(app): State<Shared>,
    Json(body): Json<ResendVerification>,
) -> Answer<Accepted> {
    app.member.resend_verification(&call.ctx, body).await?;
    Ok(Accepted)
}

/// What a device may say about itself.
const DEVICE_CHARS_MAX: usize = 200;

/// Log in
#[utoipa::path(post, path = "/v1/sessions", tag = "Sessions", operation_id = "log_in", request_body = LoginBody,
    responses((status = 201, body = Tokens, description = "A session was opened")),
    extensions(("x-problems" = json!(["bad_credentials"]))))]
pub(crate) async fn log_in(
    SignInDoor(call): SignInDoor,
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<LoginBody>,
) -> Answer<Created<Tokens>> {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let device = Personal::new(agent.chars().take(DEVICE_CHARS_MAX).collect::<String>());
    let address = Personal::new(call.address.to_string());
    let tokens = app.member.login(&call.ctx, Login { body, address, device }).await?;
    Ok(Created::now("/v1/sessions/current".into(), tokens))
}

/// Get a new access token
///
/// Each refresh token works once. One that is used again ends the session on every device that holds it.
#[utoipa::path(post, path = "/v1/sessions/refresh", tag = "Sessions", operation_id = "refresh_session",
    request_body = Refresh, responses((status = 200, body = Tokens, description = "New tokens")),
    extensions(("x-problems" = json!(["bad_refresh_token"]))))]
pub(crate) async fn refresh_session(
    SignInDoor(call): SignInDoor,
    State(app): State<Shared>,
    Json(body): Json<Refresh>,
) -> Answer<Found<Tokens>> {
    Ok(Found(app.member.refresh(&call.ctx, body).await?))
}

/// Log out
///
/// Ends this session. Its access token is refused from the next request on.
#[utoipa::path(delete, path = "/v1/sessions/current", tag = "Sessions", operation_id = "log_out",
    responses((status = 204, description = "Ended")), security(("token" = [])))]
pub(crate) async fn log_out(member: Anyone, State(app): State<Shared>) -> Answer<Nothing> {
    app.member.logout(member.ctx(), member.session()).await?;
    Ok(Nothing)
}

/// Log out everywhere
///
/// Ends every session of the member.
#[utoipa::path(delete, path = "/v1/sessions", tag = "Sessions", operation_id = "log_out_everywhere",
    responses((status = 204, description = "Ended")), security(("token" = [])))]
pub(crate) async fn log_out_everywhere(member: Anyone, State(app): State<Shared>) -> Answer<Nothing> {
    app.member.logout_all(member.ctx(), member.id).await?;
    Ok(Nothing)
}

/// Read the own account
#[utoipa::path(get, path = "/v1/me", tag = "Members", operation_id = "me",
    responses((status = 200, body = Me, description = "The member who asks")), security(("token" = [])))]
pub(crate) async fn me(member: Anyone, State(app): State<Shared>) -> Answer<Found<Me>> {
    Ok(Found(app.member.me(member.ctx(), member.id).await?))
}

/// The keys that access tokens are signed with
///
/// A JSON Web Key Set (RFC 7517). Only EdDSA with Ed25519 is used.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Sessions", operation_id = "keys",
    responses((status = 200, body = Keys, description = "The keys")))]
pub(crate) async fn keys(public: Public, State(app): State<Shared>) -> Answer<Response> {
    let mut response = Found(app.member.keys(public.ctx(), ()).await?).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    Ok(response)
}
