//! Who drives attempts: the request that made one, in a task of its own so that a caller who hangs up leaves nothing
//! half-driven, and a resumer for those whose driver died or got no answer.
//!
//! **Invariant:** an open attempt is driven by at most one task of this process; across processes a lease in its row
//! says whose it is. Should two drive it all the same, each step still happens once (see [`crate::saga`]).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use contract::idempotency::Once;
use contract::payment::{Paid, Pay};
use db::idempotency::{self, Claim, fingerprint};
use kit::{Code, Ctx, Fault, Millis, RequestId, Result};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::entity::attempt::Model;
use crate::saga::{LEASE_MS, OPERATION_PAY, Saga, outcome};
use crate::state::State;
use crate::store;

/// Payments in flight; one more is told that the market is busy.
const IN_FLIGHT_MAX: usize = 1_024;
/// Attempts that the resumer drives at once.
const RESUMED_MAX: usize = 16;
/// Attempts that the resumer looks at in one round.
const DUE_MAX: u64 = 100;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Failures in a row after which a driver lets the attempt rest.
const FAILURES_MAX: u32 = 3;
/// Pause after the first failure in a row; doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// Rest after the first drive that came to nothing; doubles with each up to [`REST_MS_MAX`].
const REST_MS: i64 = 500;
const REST_MS_MAX: i64 = 30_000;
/// Keys of payments and credits are remembered for 15 days.
const KEYS_KEPT_MS: i64 = 15 * 24 * 3_600_000;
const FORGET_EVERY_MS: i64 = 3_600_000;
/// Keys forgotten in one transaction.
const FORGOTTEN_MAX: u64 = 10_000;

pub(crate) struct Payer {
    saga: Saga,
    driven: Mutex<HashSet<Uuid>>,
    in_flight: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Cancelled when the resumer is no more, for whatever reason.
    resumer_gone: CancellationToken,
}

/// Notes that this process drives an attempt, for as long as it lives.
struct Driving<'a> {
    payer: &'a Payer,
    attempt: Uuid,
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.payer.driven.lock().remove(&self.attempt);
    }
}

impl Payer {
    pub(crate) fn new(saga: Saga) -> Self {
        Self {
            saga,
            driven: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            resumer_gone: CancellationToken::new(),
        }
    }

    /// Pays in a task of its own: it goes on when the caller does not wait.
    pub(crate) async fn pay(self: &Arc<Self>, ctx: &Ctx, request: Pay) -> Result<Once<Paid>> {
        let claim = claim(&request);
        if let Some(paid) = idempotency::find(self.saga.db.read(), &claim).await? {
            return Ok(Once::again(paid));
        }
        let place = self.in_flight.clone().try_acquire_owned();
        let place = place.map_err(|_| Fault::new(Code::Overloaded).retry_after(1))?;
        let task = pay_in_task(self.clone(), without_deadline(ctx), request, claim, place);
        let task = self.tasks.spawn(task.instrument(tracing::Span::current()));
        task.await.unwrap_or_else(|e| Err(Fault::internal(format!("a payment broke off: {e}"))))
    }

    /// Stores a new attempt, which belongs to the caller; or finds the answer that its key got before.
    /// Errors: `idempotency_in_progress`, `idempotency_key_reused`.
    async fn admit(&self, ctx: &Ctx, request: &Pay, claim: &Claim) -> Result<Admitted> {
        let now = self.saga.clock.now();
        let attempt = Model {
            id: self.saga.ids.next(),
            member_id: request.member.0,
            order_id: request.order.0,
            key: claim.key.clone(),
            fingerprint: claim.fingerprint,
            request_id: ctx.request_id.as_str().to_owned(),
            state: State::Started,
            amount_minor: None,
            refusal: None,
            tries: 0,
            next_try_at_ms: now.plus_ms(LEASE_MS).0,
            created_at_ms: now.0,
            ended_at_ms: None,
        };
        let txn = self.saga.db.begin().await?;
        if !store::insert(&txn, &attempt).await? {
            let open = store::find_open(&txn, request.member, &claim.key).await?;
            return Err(match open.is_some_and(|open| open.fingerprint != claim.fingerprint) {
                true => Fault::new(Code::IdempotencyKeyReused),
                false => Fault::new(Code::IdempotencyInProgress).retry_after(1),
            });
        }
        // Looked for after the insert: whoever held the key until then has left its record by now.
        if let Some(paid) = idempotency::find(&txn, claim).await? {
            return Ok(Admitted::Before(paid));
        }
        self.saga.db.commit(txn).await?;
        Ok(Admitted::New(attempt))
    }

    /// Steps on until the attempt has ended. Errors: `deadline_exceeded` when that is not known; it rests then, and
    /// the resumer goes on with it.
    async fn drive(&self, ctx: &Ctx, mut attempt: Model) -> Result<Model> {
        if !self.driven.lock().insert(attempt.id) {
            return Err(Fault::new(Code::IdempotencyInProgress).retry_after(1));
        }
        let _driving = Driving { payer: self, attempt: attempt.id };
        let mut failures = 0;
        while !attempt.state.has_ended() {
            match self.saga.step(ctx, attempt.clone()).await {
                Ok(moved) => {
                    attempt = moved;
                    failures = 0;
                }
                Err(fault) => {
                    failures += 1;
                    tracing::warn!(
                        attempt.id = %attempt.id, state = attempt.state.name(), error = %fault,
                        "a payment step has no answer yet; it is tried again"
                    );
                    if failures >= FAILURES_MAX || self.stopping.is_cancelled() {
                        self.rest(&attempt).await;
                        return Err(Fault::new(Code::DeadlineExceeded).retry_after(1).context(fault));
                    }
                    tokio::time::sleep(PAUSE * 2_u32.pow(failures - 1)).await;
                }
            }
        }
        metrics::counter!("jangteo_payments_total", "state" => attempt.state.name()).increment(1);
        tracing::info!(
            attempt.id = %attempt.id, order.id = %attempt.order_id, state = attempt.state.name(),
            "payment attempt {} is {}", attempt.id, attempt.state.name()
        );
        Ok(attempt)
    }

    async fn rest(&self, attempt: &Model) {
        let doublings = u32::try_from(attempt.tries).unwrap_or(u32::MAX).min(16);
        let rest_ms = REST_MS.saturating_mul(1 << doublings).min(REST_MS_MAX);
        let until = self.saga.clock.now().plus_ms(rest_ms);
        if let Err(fault) = self.put_to_rest(attempt, until).await {
            // The lease runs out by itself.
            tracing::warn!(attempt.id = %attempt.id, error = %fault, "an attempt could not be put to rest");
        }
    }

    async fn put_to_rest(&self, attempt: &Model, until: Millis) -> Result<()> {
        let txn = self.saga.db.begin().await?;
        store::rest(&txn, attempt.attempt_id(), until).await?;
        self.saga.db.commit(txn).await
    }

    /// Starts the resumer. Where no other process decides, every open attempt is an orphan and is taken at once.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<()> {
        if !self.saga.db.is_shared() {
            let txn = self.saga.db.begin().await?;
            let orphans = store::release_all(&txn, self.saga.clock.now()).await?;
            self.saga.db.commit(txn).await?;
            if orphans > 0 {
                tracing::info!(orphans, "payments were cut short; they are resumed");
            }
        }
        let gone = self.resumer_gone.clone().drop_guard();
        let look = look(self.clone());
        self.tasks.spawn(async move {
            let _gone = gone;
            look.await;
        });
        Ok(())
    }

    /// Waits until the resumer has died; never returns when it was stopped.
    pub(crate) async fn died(&self) -> Fault {
        self.resumer_gone.cancelled().await;
        if self.stopping.is_cancelled() {
            std::future::pending::<()>().await;
        }
        Fault::internal("the resumer of payments died")
    }

    /// Finishes what is being driven and ends. What rests is resumed at the next start.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends the resumer without waiting for anything.
    pub(crate) fn abandon(&self) {
        self.stopping.cancel();
    }

    /// One round: every attempt that is due, once.
    pub(crate) async fn resume_due(self: &Arc<Self>) -> Result<()> {
        let due = store::list_due(self.saga.db.read(), self.saga.clock.now(), DUE_MAX).await?;
        let places = Arc::new(Semaphore::new(RESUMED_MAX));
        let round = TaskTracker::new();
        for attempt in due {
            if self.stopping.is_cancelled() {
                break;
            }
            if self.driven.lock().contains(&attempt.id) {
                continue;
            }
            let Ok(place) = places.clone().acquire_owned().await else {
                break;
            };
            let request_id = RequestId::parse(&attempt.request_id);
            let ctx = Ctx::new(request_id.unwrap_or_else(|| RequestId::new(self.saga.ids.as_ref())));
            let span = tracing::info_span!("resume", request.id = %ctx.request_id, attempt.id = %attempt.id);
            round.spawn(resume(self.clone(), ctx, attempt, place).instrument(span));
        }
        round.close();
        round.wait().await;
        Ok(())
    }

    /// Forgets the oldest keys that are past their time.
    async fn forget_keys(&self) -> Result<()> {
        let txn = self.saga.db.begin().await?;
        idempotency::purge(&txn, self.saga.clock.now(), KEYS_KEPT_MS, FORGOTTEN_MAX).await?;
        self.saga.db.commit(txn).await
    }

    async fn take(&self, attempt: Model) -> Result<Option<Model>> {
        let until = self.saga.clock.now().plus_ms(LEASE_MS);
        let txn = self.saga.db.begin().await?;
        let taken = store::lease(&txn, &attempt, until).await?;
        self.saga.db.commit(txn).await?;
        Ok(taken.then(|| Model { next_try_at_ms: until.0, tries: attempt.tries + 1, ..attempt }))
    }
}

#[cfg(test)]
impl Payer {
    pub(crate) fn saga(&self) -> &Saga {
        &self.saga
    }

    pub(crate) async fn admit_new(&self, ctx: &Ctx, request: &Pay) -> Result<Model> {
        match self.admit(ctx, request, &claim(request)).await? {
            Admitted::New(attempt) => Ok(attempt),
            Admitted::Before(paid) => Err(Fault::internal(format!("paid before: {paid:?}"))),
        }
    }
}

enum Admitted {
    New(Model),
    Before(Paid),
}

fn claim(request: &Pay) -> Claim {
    Claim {
        member: request.member.0,
        operation: OPERATION_PAY,
        key: request.key.as_str().to_owned(),
        fingerprint: fingerprint(&(request.order, &request.body)),
    }
}

async fn pay_in_task(
    payer: Arc<Payer>,
    ctx: Ctx,
    request: Pay,
    claim: Claim,
    _place: OwnedSemaphorePermit,
) -> Result<Once<Paid>> {
    let attempt = match payer.admit(&ctx, &request, &claim).await? {
        Admitted::New(attempt) => attempt,
        Admitted::Before(paid) => return Ok(Once::again(paid)),
    };
    let ended = payer.drive(&ctx, attempt).await?;
    outcome(&ended, payer.saga.currency).map(Once::first)
}

async fn resume(payer: Arc<Payer>, ctx: Ctx, attempt: Model, _place: OwnedSemaphorePermit) {
    let driven = match payer.take(attempt).await {
        Ok(Some(attempt)) => payer.drive(&ctx, attempt).await.map(|_| ()),
        Ok(None) => Ok(()),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = driven {
        tracing::warn!(error = %fault, "a payment could not be finished yet");
    }
}

async fn look(payer: Arc<Payer>) {
    let mut forgotten_at = payer.saga.clock.now();
    loop {
        if let Err(fault) = payer.resume_due().await {
            tracing::warn!(error = %fault, "open payments could not be looked at");
        }
        if payer.saga.clock.now().since(forgotten_at) >= FORGET_EVERY_MS {
            forgotten_at = payer.saga.clock.now();
            if let Err(fault) = payer.forget_keys().await {
                tracing::warn!(error = %fault, "old idempotency keys could not be forgotten");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = payer.stopping.cancelled() => return,
        }
    }
}

/// The caller may stop waiting; the payment goes on.
fn without_deadline(ctx: &Ctx) -> Ctx {
    Ctx { deadline: None, ..ctx.clone() }
}
