//! Who is asking. Authorisation is an extractor type: a handler that takes [`Buyer`] cannot be reached by anybody else.
//!
//! The token is verified on every request and its session looked up in the revocation list, so that a log-out holds
//! from the next request on. A foreign object is not this file's business: services answer 404.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use contract::member::{SessionRef, revoked_key};
use http::header::AUTHORIZATION;
use http::request::Parts;
use kit::id::MemberId;
use kit::jwt::Claims;
use kit::{Code, Ctx, Fault, Role};

use crate::app::{App, Shared};
use crate::call::Call;
use crate::limit;
use crate::problem::Refusal;

/// A signed-in member of any role, verified or not.
pub(crate) struct Anyone {
    pub(crate) call: Arc<Call>,
    pub(crate) id: MemberId,
    claims: Claims,
}

impl Anyone {
    pub(crate) fn ctx(&self) -> &Ctx {
        &self.call.ctx
    }

    pub(crate) fn session(&self) -> SessionRef {
        SessionRef { member: self.id, session: self.claims.sid }
    }

    fn only(self, role: Role) -> Result<Self, Fault> {
        match self.claims.role == role {
            true => Ok(self),
            false => Err(Fault::new(Code::Forbidden)),
        }
    }

    fn verified(self) -> Result<Self, Fault> {
        match self.claims.ver {
            true => Ok(self),
            false => Err(Fault::new(Code::EmailNotVerified)),
        }
    }
}

impl FromRequestParts<Shared> for Anyone {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let call = Call::of(parts, app)?;
        let token = bearer(parts)?.ok_or_else(|| Fault::new(Code::Unauthenticated))?;
        Ok(sign_in(app, call, token).await?)
    }
}

/// A member if there is one, or nobody. A token that is there must be good.
pub(crate) struct Viewer {
    pub(crate) call: Arc<Call>,
    pub(crate) id: Option<MemberId>,
}

impl Viewer {
    pub(crate) fn ctx(&self) -> &Ctx {
        &self.call.ctx
    }
}

impl FromRequestParts<Shared> for Viewer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let call = Call::of(parts, app)?;
        let Some(token) = bearer(parts)? else {
            return Ok(Self { call, id: None });
        };
        let Anyone { call, id, .. } = sign_in(app, call, token).await?;
        Ok(Self { call, id: Some(id) })
    }
}

macro_rules! role {
    ($(#[$doc:meta])* $name:ident, $member:ident => $rule:expr) => {
        $(#[$doc])*
        pub(crate) struct $name {
            pub(crate) call: Arc<Call>,
            pub(crate) id: MemberId,
        }

        impl $name {
            pub(crate) fn ctx(&self) -> &Ctx {
                &self.call.ctx
            }
        }

        impl FromRequestParts<Shared> for $name {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
                let $member = Anyone::from_request_parts(parts, app).await?;
                let Anyone { call, id, .. } = $rule?;
                Ok(Self { call, id })
            }
        }
    };
}

role! {
    /// A buyer whose e-mail address is verified. Errors: `forbidden`, `email_not_verified`.
    Buyer, member => member.only(Role::Buyer).and_then(Anyone::verified)
}
role! {
    /// A seller whose e-mail address is verified. Errors: `forbidden`, `email_not_verified`.
    Seller, member => member.only(Role::Seller).and_then(Anyone::verified)
}
role! {
    /// An operator. Errors: `forbidden`.
    Admin, member => member.only(Role::Admin)
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1; the scheme's case does not matter). Nowhere else is looked.
fn bearer(parts: &Parts) -> Result<Option<&str>, Fault> {
    let refused = || Fault::new(Code::Unauthenticated);
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(refused());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refused)?;
    match scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        true => Ok(Some(token)),
        false => Err(refused()),
    }
}

async fn sign_in(app: &App, call: Arc<Call>, token: &str) -> Result<Anyone, Fault> {
    let claims = app.keys.verify(&call.ctx, token, app.clock.now()).await?;
    // Without the revocation list nobody is let in: a session that was ended must not come back.
    if app.kv.get(&revoked_key(claims.sid)).await?.is_some() {
        return Err(Fault::new(Code::Unauthenticated));
    }
    limit::member(app, &call, claims.sub).await?;
    Ok(Anyone { call, id: claims.sub, claims })
}
