//! The committer: one task, one batch at a time.

use std::sync::Arc;
use std::time::Instant;

use db::{Commit, Db};
use kit::{Clock, Code, Ctx, Currency, Fault, Ids, Kind, Millis, Result};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::decide::{Answer, Effects, Rules, decide};
use super::job::{Job, Ticket};
use super::snapshot::{Snapshot, StockKey};
use super::write::{Written, write};
use crate::crash::crash_point;
use crate::gate::Gate;
use crate::live::Live;

/// How often a batch is decided anew because another process was faster, before its requests are told to try again.
const OVERTAKEN_MAX: usize = 5;

pub struct IntakeDeps {
    pub db: Db,
    pub gate: Arc<Gate>,
    pub live: Live,
    pub wake: bus::Wake,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub zone: kit::clock::Zone,
    pub currency: Currency,
    pub hold_ms: i64,
    /// Requests decided in one transaction.
    pub batch_max: usize,
    /// Requests that may wait; one more is refused with `overloaded`.
    pub inbox_max: usize,
}

/// The way in.
pub struct Intake {
    inbox: Mutex<Option<mpsc::Sender<Ticket>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    dead: watch::Receiver<Option<Fault>>,
}

impl Intake {
    pub fn start(deps: IntakeDeps) -> Self {
        let (inbox, arriving) = mpsc::channel(deps.inbox_max);
        let (died, dead) = watch::channel(None);
        let task = tokio::spawn(Committer { deps, died }.run(arriving));
        Self { inbox: Mutex::new(Some(inbox)), task: Mutex::new(Some(task)), dead }
    }

    /// Hands `job` in and waits for its answer. Errors: the refusal, `overloaded` when too many wait already,
    /// `unavailable` when the outcome is not known: ask again with the same key.
    pub async fn submit(&self, ctx: &Ctx, job: Job) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        let ticket = Ticket { job, ctx: ctx.clone(), reply };
        let closed = || Fault::new(Code::Unavailable).retry_after(1).context("the intake has stopped");
        let sent = match &*self.inbox.lock() {
            Some(inbox) => inbox.try_send(ticket),
            None => return Err(closed()),
        };
        sent.map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Fault::new(Code::Overloaded).retry_after(1),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.map_err(|_| closed())?
    }

    /// Ends after everything handed in is answered.
    pub async fn stop(&self) {
        self.inbox.lock().take();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // A panic in the committer has been logged and its callers told.
            let _ = task.await;
        }
    }

    /// Waits until the committer had to stop because the fate of a commit is not known: the process must end and
    /// recover. Never returns otherwise.
    pub async fn died(&self) -> Fault {
        let mut dead = self.dead.clone();
        match dead.wait_for(Option::is_some).await.map(|fault| fault.clone()) {
            Ok(Some(fault)) => fault,
            _ if self.inbox.lock().is_none() => std::future::pending().await,
            _ => Fault::internal("the committer panicked"),
        }
    }
}

struct Committer {
    deps: IntakeDeps,
    died: watch::Sender<Option<Fault>>,
}

/// Whether the committer may go on.
enum Fate {
    GoOn,
    Stop(Fault),
}

/// What became of one try to commit a batch.
enum Outcome {
    /// In order of the jobs.
    Answers(Vec<Result<Answer>>),
    Overtaken,
    /// Nothing was written.
    Failed(Fault),
    Unknown(Fault),
}

impl Committer {
    async fn run(self, mut arriving: mpsc::Receiver<Ticket>) {
        let mut batch = Vec::with_capacity(self.deps.batch_max);
        while arriving.recv_many(&mut batch, self.deps.batch_max).await > 0 {
            metrics::histogram!("jangteo_intake_batch_size").record(batch.len() as f64);
            metrics::gauge!("jangteo_intake_waiting").set(arriving.len() as f64);
            let tickets = std::mem::replace(&mut batch, Vec::with_capacity(self.deps.batch_max));
            if let Fate::Stop(fault) = self.process(tickets).await {
                tracing::error!(error = %fault, "the fate of a commit is not known: stopping to recover");
                // Nobody listening means that the process is ending already.
                let _ = self.died.send(Some(fault));
                return;
            }
        }
    }

    async fn process(&self, batch: Vec<Ticket>) -> Fate {
        for _ in 0..OVERTAKEN_MAX {
            match self.commit(&batch).await {
                Outcome::Answers(answers) => {
                    batch.into_iter().zip(answers).for_each(|(ticket, answer)| ticket.answer(answer));
                    return Fate::GoOn;
                }
                Outcome::Overtaken => metrics::counter!("jangteo_intake_overtaken_total").increment(1),
                // One request that cannot be written must not take the others with it.
                Outcome::Failed(fault) if fault.kind() == Kind::Internal && batch.len() > 1 => {
                    return Box::pin(self.one_by_one(batch)).await;
                }
                Outcome::Failed(fault) => return refuse_all(batch, &fault),
                Outcome::Unknown(fault) if self.deps.db.is_shared() => return self.read_back(batch, fault).await,
                // The tickets are dropped: their callers hear that the outcome is not known.
                Outcome::Unknown(fault) => return Fate::Stop(fault),
            }
        }
        refuse_all(batch, &Fault::new(Code::Overloaded).retry_after(1).context("overtaken too often"))
    }

    async fn one_by_one(&self, batch: Vec<Ticket>) -> Fate {
        for ticket in batch {
            if let Fate::Stop(fault) = self.process(vec![ticket]).await {
                return Fate::Stop(fault);
            }
        }
        Fate::GoOn
    }

    async fn commit(&self, batch: &[Ticket]) -> Outcome {
        match self.try_commit(batch).await {
            Ok(outcome) => outcome,
            Err(fault) => Outcome::Failed(fault),
        }
    }

    async fn try_commit(&self, batch: &[Ticket]) -> Result<Outcome> {
        let deps = &self.deps;
        let begun = Instant::now();
        let now = deps.clock.now();
        let jobs: Vec<&Job> = batch.iter().map(|ticket| &ticket.job).collect();
        crash_point!("intake.before_begin");
        let txn = deps.db.begin().await?;
        crash_point!("intake.after_begin");
        let mut snapshot = Snapshot::read(&txn, &jobs, self.day(now)).await?;
        let (answers, effects) = decide(&self.rules(now), &mut snapshot, &jobs);
        deps.live.touch(snapshot.stock.keys().filter(|key| !deps.gate.knows(key)).copied());
        if effects.is_empty() {
            return Ok(Outcome::Answers(answers));
        }
        if write(&txn, &*deps.ids, batch, &effects, now).await? == Written::Overtaken {
            return Ok(Outcome::Overtaken);
        }
        crash_point!("intake.before_commit");
        match deps.db.commit_or_tell(txn).await {
            Commit::Done => {}
            Commit::NotDone(fault) => return Ok(Outcome::Failed(fault)),
            Commit::Unknown(fault) => return Ok(Outcome::Unknown(fault)),
        }
        crash_point!("intake.after_commit");
        metrics::histogram!("jangteo_intake_commit_seconds").record(begun.elapsed().as_secs_f64());
        self.committed(&effects);
        crash_point!("intake.before_answer");
        Ok(Outcome::Answers(answers))
    }

    /// What follows a commit before anybody hears of it.
    fn committed(&self, effects: &Effects) {
        let deps = &self.deps;
        let taken = effects.orders.iter().flat_map(|new| new.lines.iter().map(|line| (new.member, line.key)));
        deps.gate.accepted(&taken.collect::<Vec<_>>());
        let back = effects.stock.iter().filter(|(_, delta)| delta.available > 0).map(|(key, _)| *key);
        deps.gate.open(back.collect::<Vec<StockKey>>());
        deps.live.touch(effects.stock.keys().copied());
        deps.wake.wake();
    }

    /// PostgreSQL did not answer the commit. Whoever's record is there has been served; the others ask again with the
    /// same key, and are never told that they were refused.
    async fn read_back(&self, batch: Vec<Ticket>, fault: Fault) -> Fate {
        tracing::warn!(error = %fault, "a commit was not answered; reading back what was kept");
        let unknown = Fault { code: Code::Unavailable, retry_after_s: Some(1), ..fault };
        for ticket in batch {
            let kept = self.kept(&ticket.job).await.ok().flatten();
            ticket.answer(kept.ok_or_else(|| unknown.clone()));
        }
        Fate::GoOn
    }

    async fn kept(&self, job: &Job) -> Result<Option<Answer>> {
        let now = self.deps.clock.now();
        let txn = self.deps.db.begin().await?;
        let mut snapshot = Snapshot::read(&txn, &[job], self.day(now)).await?;
        let recorded = job.claim().is_some_and(|claim| snapshot.records.contains_key(&claim.scope()));
        if !recorded {
            return Ok(None);
        }
        let (answers, _) = decide(&self.rules(now), &mut snapshot, &[job]);
        answers.into_iter().next().transpose()
    }

    fn day(&self, now: Millis) -> i64 {
        now.market_day(&self.deps.zone)
    }

    fn rules(&self, now: Millis) -> Rules<'_> {
        let deps = &self.deps;
        Rules { now, day: self.day(now), hold_ms: deps.hold_ms, currency: deps.currency, ids: &*deps.ids }
    }
}

fn refuse_all(batch: Vec<Ticket>, fault: &Fault) -> Fate {
    for ticket in batch {
        ticket.answer(Err(fault.clone()));
    }
    Fate::GoOn
}
