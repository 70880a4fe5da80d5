//! The service: what it is made of, how it starts and stops, and which method answers what.

use std::sync::Arc;

use async_trait::async_trait;
use contract::member::{
    Enroll, Enrolled, Keys, Login, Mail, Me, Member, Refresh, ResendVerification, SessionRef, SignUp, Tokens,
    VerifyEmail,
};
use db::Db;
use kit::id::MemberId;
use kit::jwt::SigningKey;
use kit::{Clock, Ctx, Ids, Result};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::keeper::Keeper;
use crate::mail::{Post, Sender};
use crate::password::Hasher;
use crate::settings::Settings;
use crate::vault::{MasterKey, Vault};
use crate::{signing, store};

/// What the service runs on.
pub struct Deps {
    pub db: Db,
    pub kv: kv::Shared,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub settings: Settings,
    pub master_key: MasterKey,
}

pub struct Service {
    pub(crate) db: Db,
    pub(crate) kv: kv::Shared,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) settings: Settings,
    pub(crate) vault: Arc<Vault>,
    pub(crate) hasher: Hasher,
    pub(crate) signer: SigningKey,
    pub(crate) post: Post,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Service {
    /// Brings the database up to date, makes a first signing key where there is none, tells the edge which sessions
    /// have ended, and starts the background work. Errors: `internal` when the settings or the master key are wrong.
    pub async fn start(deps: Deps) -> Result<Arc<Self>> {
        let Deps { db, kv, clock, ids, settings, master_key } = deps;
        db::migrate::<store::Migrator>(&db).await?;
        let vault = Arc::new(Vault::new(&master_key)?);
        let signer = signing::load_or_make(&db, &vault, &*clock, &*ids).await?;
        let hasher = Hasher::start(settings.hashing_at_once).await?;
        let post = Post::new(db.clone(), vault.clone(), clock.clone(), ids.clone(), &settings);
        let sender = Sender::new(&post, &settings.mail)?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        if let Some(sender) = sender {
            tasks.push(tokio::spawn(sender.run(stopped.clone())));
        }
        tasks.push(tokio::spawn(Keeper::new(db.clone(), clock.clone()).run(stopped)));
        let tasks = Mutex::new(tasks);
        let service = Self { db, kv, clock, ids, settings, vault, hasher, signer, post, stop, tasks };
        service.refill_revoked().await?;
        Ok(Arc::new(service))
    }

    /// Ends the background work; a mail that is being sent is finished. Calls in progress are not touched.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        for task in self.tasks.lock().await.drain(..) {
            // A task that panicked has said so; there is nothing left to stop.
            let _ = task.await;
        }
    }
}

#[async_trait]
impl Member for Service {
    async fn sign_up(&self, ctx: &Ctx, request: SignUp) -> Result<()> {
        self.create_account(ctx, request).await
    }

    async fn verify_email(&self, _: &Ctx, request: VerifyEmail) -> Result<()> {
        self.verify(request).await
    }

    async fn resend_verification(&self, ctx: &Ctx, request: ResendVerification) -> Result<()> {
        self.resend(ctx, request).await
    }

    async fn login(&self, _: &Ctx, request: Login) -> Result<Tokens> {
        self.sign_in(request).await
    }

    async fn refresh(&self, _: &Ctx, request: Refresh) -> Result<Tokens> {
        self.rotate(request).await
    }

    async fn logout(&self, _: &Ctx, request: SessionRef) -> Result<()> {
        self.sign_out(request).await
    }

    async fn logout_all(&self, _: &Ctx, member: MemberId) -> Result<()> {
        self.sign_out_everywhere(member).await
    }

    async fn me(&self, _: &Ctx, member: MemberId) -> Result<Me> {
        self.own_data(member).await
    }

    async fn keys(&self, _: &Ctx, (): ()) -> Result<Keys> {
        Ok(Keys { keys: signing::published(&self.db, &self.vault, &*self.clock).await? })
    }

    async fn enroll(&self, ctx: &Ctx, request: Enroll) -> Result<Vec<Enrolled>> {
        self.create_people(ctx, request).await
    }

    async fn mailbox(&self, _: &Ctx, (): ()) -> Result<Vec<Mail>> {
        self.post.recent().await
    }
}
