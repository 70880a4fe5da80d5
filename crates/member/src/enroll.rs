//! Members in bulk, by command of an operator: all of them in one transaction, or none.

use std::collections::HashMap;

use contract::member::{Enroll, Enrolled, Person, fold_email, fold_phone};
use db::Txn;
use kit::id::SessionId;
use kit::{Ctx, Fault, Millis, Personal, Result, Role};

use crate::account::{Applicant, Sealed};
use crate::password;
use crate::phrase;
use crate::service::Service;
use crate::session::Holder;
use crate::store;
use crate::store::member::Bearer;
use crate::store::phone::Claim;
use crate::store::session::Session;

/// People dealt with between two breaths: sealing and signing are arithmetic, and others want the thread as well.
const BREATH: usize = 64;

impl Service {
    pub(crate) async fn create_people(&self, ctx: &Ctx, request: Enroll) -> Result<Vec<Enrolled>> {
        contract::valid(&request)?;
        let mut sealed = Vec::with_capacity(request.people.len());
        for (at, person) in request.people.into_iter().enumerate() {
            breathe(at).await;
            let applicant = self.applicant(ctx, request.role, at, person).await?;
            sealed.push(self.seal(applicant)?);
        }
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let bearers = insert(ctx, &txn, &sealed, now).await?;
        let holders = match request.tokens {
            true => self.open_sessions(&txn, &bearers, now).await?,
            false => Vec::new(),
        };
        self.db.commit(txn).await?;

        let mut enrolled = Vec::with_capacity(sealed.len());
        for (at, (own, bearer)) in sealed.iter().zip(&bearers).enumerate() {
            breathe(at).await;
            let holder = holders.get(at).and_then(Option::as_ref);
            let access_token = holder.map(|holder| self.access_token(holder, now)).transpose()?;
            let created = own.member.member() == bearer.member;
            enrolled.push(Enrolled { id: bearer.member, access_token, created });
        }
        Ok(enrolled)
    }

    async fn applicant(&self, ctx: &Ctx, role: Role, at: usize, person: Person) -> Result<Applicant> {
        let email = fold_email(&person.email);
        let password_hash = match &person.password {
            Some(password) => {
                password::check(password, &email, format!("/people/{at}/password"), ctx.lang)?;
                Some(self.hasher.hash(password).await?)
            }
            None => None,
        };
        Ok(Applicant {
            role,
            email,
            name: Personal::new(person.name.expose().trim()),
            phone: person.phone.as_ref().and_then(fold_phone),
            business_name: person.business_name.map(|name| name.trim().to_owned()),
            password_hash,
            verified_at: Some(self.clock.now()),
        })
    }

    /// A session for each that is not disabled; nobody asks for it by name, so no device is noted.
    async fn open_sessions(&self, txn: &Txn, bearers: &[Bearer], now: Millis) -> Result<Vec<Option<Holder>>> {
        let live_until = now.plus_ms(self.settings.access_ttl_ms());
        let mut sessions = Vec::with_capacity(bearers.len());
        let mut holders = Vec::with_capacity(bearers.len());
        for bearer in bearers {
            if bearer.disabled {
                holders.push(None);
                continue;
            }
            let (id, member) = (SessionId(self.ids.next()), bearer.member);
            sessions.push(Session { id, member, device: None, created_at: now, live_until });
            holders.push(Some(Holder { member, role: bearer.role, verified: bearer.verified, session: id }));
        }
        store::session::insert(txn, sessions).await?;
        Ok(holders)
    }
}

/// Inserts those whose e-mail is new. Who has the e-mail of each, in their order.
async fn insert(ctx: &Ctx, txn: &Txn, sealed: &[Sealed], now: Millis) -> Result<Vec<Bearer>> {
    store::member::insert(txn, sealed.iter().map(|one| one.member.clone()).collect()).await?;
    let emails: Vec<Vec<u8>> = sealed.iter().map(|one| one.member.email_index.clone()).collect();
    let found = store::member::bearers(txn, &emails).await?;
    let found: HashMap<&[u8], &Bearer> = found.iter().map(|bearer| (&*bearer.email_index, bearer)).collect();
    let missing = || Fault::internal("a member that was just inserted is not there");
    let bearers: Vec<Bearer> =
        emails.iter().map(|email| found.get(&**email).copied().cloned().ok_or_else(missing)).collect::<Result<_>>()?;

    let created = || sealed.iter().zip(&bearers).enumerate().filter(|(_, (own, b))| own.member.member() == b.member);
    store::data_key::insert(txn, created().map(|(_, (own, _))| own.data_key.clone()).collect()).await?;
    let claims: Vec<(usize, Claim)> = created().filter_map(|(at, (own, _))| Some((at, claim(own)?))).collect();
    claim_phones(ctx, txn, claims, now).await?;
    Ok(bearers)
}

fn claim(own: &Sealed) -> Option<Claim> {
    let phone_index = own.phone_index.clone()?;
    Some(Claim { phone_index, email_index: own.member.email_index.clone(), member: Some(own.member.member()) })
}

/// Errors: `invalid_fields` at the first of the people whose phone is taken.
async fn claim_phones(ctx: &Ctx, txn: &Txn, claims: Vec<(usize, Claim)>, now: Millis) -> Result<()> {
    let (places, claims): (Vec<usize>, Vec<Claim>) = claims.into_iter().unzip();
    if store::phone::claim(txn, &claims, now).await? == claims.len() as u64 {
        return Ok(());
    }
    let holders: HashMap<_, _> = store::phone::holders(txn, &claims).await?.into_iter().collect();
    let lost = |claim: &Claim| holders.get(&claim.phone_index) != Some(&claim.member);
    let at = places.into_iter().zip(&claims).find(|(_, claim)| lost(claim)).map(|(at, _)| at);
    let at = at.ok_or_else(|| Fault::internal("a phone claim was refused and nobody has the phone"))?;
    Err(Fault::field(format!("/people/{at}/phone"), "taken", phrase::phone_taken(ctx.lang)))
}

async fn breathe(at: usize) {
    if at.is_multiple_of(BREATH) {
        tokio::task::yield_now().await;
    }
}
