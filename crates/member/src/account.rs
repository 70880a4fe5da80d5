//! Accounts: sign-up, verification of the e-mail address, own data.
//!
//! Whether an address is known must not be told. Sign-up answers alike for a new and a taken one: the same work is
//! done (hashing above all), one mail is written in either case, and the phone number is claimed in either case. Where
//! the work differs a little, answers wait for a common minimum of time.

use std::time::{Duration, Instant};

use contract::member::{Me, ResendVerification, SignUp, VerifyEmail, fold_email, fold_phone};
use db::Txn;
use kit::id::MemberId;
use kit::{Code, Ctx, Fault, Millis, Personal, Result, Role, Secret};
use uuid::Uuid;

use crate::mail::{Letter, Recipient};
use crate::password;
use crate::phrase;
use crate::service::Service;
use crate::store;
use crate::store::phone::Claim;
use crate::token::Token;
use crate::vault::{DataKey, Indexed, NewDataKey, Place};

/// No answer that must not tell whether an address is known comes sooner.
const ANSWER_AFTER: Duration = Duration::from_millis(150);

/// A person who wants to become a member, in folded form.
pub(crate) struct Applicant {
    pub role: Role,
    pub email: Personal,
    pub name: Personal,
    pub phone: Option<Personal>,
    pub business_name: Option<String>,
    pub password_hash: Option<String>,
    pub verified_at: Option<Millis>,
}

/// An applicant's rows, sealed, and what is needed to go on with them.
pub(crate) struct Sealed {
    pub member: store::member::Model,
    pub data_key: store::data_key::Model,
    pub phone_index: Option<Vec<u8>>,
    pub key: DataKey,
}

impl Service {
    pub(crate) async fn create_account(&self, ctx: &Ctx, request: SignUp) -> Result<()> {
        let started = Instant::now();
        let (applicant, password) = applicant(request)?;
        password::check(&password, &applicant.email, "/password".into(), ctx.lang)?;
        let password_hash = Some(self.hasher.hash(&password).await?);
        let outcome = self.write_account(ctx, Applicant { password_hash, ..applicant }).await;
        answer_after(started).await;
        outcome
    }

    /// One transaction, whether the address is new or taken.
    async fn write_account(&self, ctx: &Ctx, applicant: Applicant) -> Result<()> {
        let email = applicant.email.clone();
        let sealed = self.seal(applicant)?;
        let member = sealed.member.member();
        let email_index = sealed.member.email_index.clone();

        let txn = self.db.begin().await?;
        let created = store::member::insert(&txn, vec![sealed.member]).await? == 1;
        if let Some(phone_index) = sealed.phone_index {
            let claim = Claim { phone_index, email_index: email_index.clone(), member: created.then_some(member) };
            if store::phone::claim(&txn, &[claim], self.clock.now()).await? == 0 {
                return Err(Fault::field("/phone", "taken", phrase::phone_taken(ctx.lang)));
            }
        }
        if created {
            store::data_key::insert(&txn, vec![sealed.data_key]).await?;
            let to = Recipient { member, key: &sealed.key, email: &email, email_index: &email_index };
            self.write_verification(ctx, &txn, &to).await?;
        } else {
            self.write_to_owner(ctx, &txn, &email_index).await?;
        }
        self.db.commit(txn).await?;
        self.post.wake();
        if created {
            tracing::info!(member.id = %member, "a member signed up");
        }
        Ok(())
    }

    pub(crate) async fn verify(&self, request: VerifyEmail) -> Result<()> {
        let refused = || Fault::new(Code::BadVerificationToken);
        let token = Token::parse(&request.token).ok_or_else(refused)?;
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        let member = store::verification::take(&txn, token.hash(), now).await?.ok_or_else(refused)?;
        store::member::verify_email(&txn, member, now).await?;
        self.db.commit(txn).await
    }

    pub(crate) async fn resend(&self, ctx: &Ctx, request: ResendVerification) -> Result<()> {
        let started = Instant::now();
        contract::valid(&request)?;
        let email = fold_email(&request.email);
        let email_index = self.vault.index(Indexed::Email, &email);
        let found = store::member::find_by_email(self.db.read(), &email_index).await?;
        if let Some(member) = found.filter(|member| member.email_verified_at_ms.is_none()) {
            let txn = self.db.begin().await?;
            if let Some(key) = self.key_of(&txn, &member).await? {
                let to = Recipient { member: member.member(), key: &key, email: &email, email_index: &email_index };
                self.write_verification(ctx, &txn, &to).await?;
            }
            self.db.commit(txn).await?;
            self.post.wake();
        }
        answer_after(started).await;
        Ok(())
    }

    pub(crate) async fn own_data(&self, id: MemberId) -> Result<Me> {
        let absent = || Fault::new(Code::NotFound);
        let member = store::member::find(self.db.read(), id).await?.ok_or_else(absent)?;
        let key = self.key_of(self.db.read(), &member).await?.ok_or_else(absent)?;
        let open = |column, sealed: &[u8]| key.open_personal(at(column, member.id), sealed);
        Ok(Me {
            id,
            role: member.role()?,
            email: open("email", &member.email)?,
            name: open("name", &member.name)?,
            phone: member.phone.as_deref().map(|sealed| open("phone", sealed)).transpose()?,
            business_name: member.business_name.clone(),
            email_verified: member.email_verified_at_ms.is_some(),
            joined_at: Millis(member.joined_at_ms),
        })
    }

    /// The member's data key; absent when the member was shredded.
    pub(crate) async fn key_of(
        &self,
        connection: &impl sea_orm::ConnectionTrait,
        member: &store::member::Model,
    ) -> Result<Option<DataKey>> {
        let wrapped = store::data_key::find(connection, member.member(), member.data_key_id).await?;
        wrapped.map(|wrapped| self.vault.unwrap(member.data_key_id, &wrapped)).transpose()
    }

    /// Makes an applicant's rows, with a data key of their own.
    pub(crate) fn seal(&self, applicant: Applicant) -> Result<Sealed> {
        let (id, now) = (self.ids.next(), self.clock.now());
        let NewDataKey { key, wrapped } = self.vault.make_data_key(&*self.ids)?;
        let lock = |column, value: &Personal| key.seal_personal(at(column, id), value);
        let member = store::member::Model {
            id,
            role: applicant.role.as_str().into(),
            data_key_id: key.id,
            email_index: self.vault.index(Indexed::Email, &applicant.email),
            email: lock("email", &applicant.email)?,
            name: lock("name", &applicant.name)?,
            phone: applicant.phone.as_ref().map(|phone| lock("phone", phone)).transpose()?,
            business_name: applicant.business_name,
            password_hash: applicant.password_hash,
            email_verified_at_ms: applicant.verified_at.map(|at| at.0),
            disabled_at_ms: None,
            joined_at_ms: now.0,
        };
        let phone_index = applicant.phone.as_ref().map(|phone| self.vault.index(Indexed::Phone, phone));
        let data_key = store::data_key::Model { id: key.id, member_id: id, wrapped, created_at_ms: now.0 };
        Ok(Sealed { member, data_key, phone_index, key })
    }

    /// A new token and the mail with it, unless the address got its share of mails this hour.
    async fn write_verification(&self, ctx: &Ctx, txn: &Txn, to: &Recipient<'_>) -> Result<()> {
        if !self.post.may_write(txn, to).await? {
            return Ok(());
        }
        let token = Token::make()?;
        let expires_at = self.clock.now().plus_ms(self.settings.verification_ttl_ms());
        store::verification::replace(txn, to.member, token.hash(), expires_at).await?;
        let hours = self.settings.verification_hours;
        let letter = Letter::verification(ctx.lang, &self.settings.public_url, &token.text(), hours);
        self.post.write(txn, to, &letter).await
    }

    /// Tells the owner of a taken address that somebody signed up with it.
    async fn write_to_owner(&self, ctx: &Ctx, txn: &Txn, email_index: &[u8]) -> Result<()> {
        let Some(owner) = store::member::find_by_email(txn, email_index).await? else {
            // Taken a moment ago and gone now: as good as never there.
            return Err(Fault::new(Code::Unavailable).retry_after(1));
        };
        let Some(key) = self.key_of(txn, &owner).await? else {
            return Ok(());
        };
        let email = key.open_personal(at("email", owner.id), &owner.email)?;
        let to = Recipient { member: owner.member(), key: &key, email: &email, email_index };
        match self.post.may_write(txn, &to).await? {
            true => self.post.write(txn, &to, &Letter::already_member(ctx.lang, &self.settings.public_url)).await,
            false => Ok(()),
        }
    }
}

/// The role comes from the door.
fn applicant(request: SignUp) -> Result<(Applicant, Secret)> {
    let (role, email, name, phone, business_name, password) = match request {
        SignUp::Buyer(body) => {
            contract::valid(&body)?;
            (Role::Buyer, body.email, body.name, body.phone, None, body.password)
        }
        SignUp::Seller(body) => {
            contract::valid(&body)?;
            (Role::Seller, body.email, body.name, body.phone, Some(body.business_name.trim().to_owned()), body.password)
        }
    };
    let applicant = Applicant {
        role,
        email: fold_email(&email),
        name: Personal::new(name.expose().trim()),
        phone: fold_phone(&phone),
        business_name,
        password_hash: None,
        verified_at: None,
    };
    Ok((applicant, password))
}

async fn answer_after(started: Instant) {
    tokio::time::sleep_until((started + ANSWER_AFTER).into()).await;
}

/// Where a member's personal data lives.
fn at(column: &'static str, member: Uuid) -> Place {
    Place { table: "member", column, row: member }
}
