//! The service behind the contract: checks, transactions outside the intake, wiring of its parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use contract::idempotency::Once;
use contract::order::{
    Availability, BeginPayment, Cancel, ChangeStock, CreateSale, EndPayment, ListOrders, ListSales, ListStockEntries,
    ListStoreLines, Order, OrderState, OrderView, OwnOption, OwnOrder, Payable, Place, Placed, Sale, SaleLine, Stock,
    StockCause, StockEntry, StockReason, StoreLine,
};
use db::idempotency::fingerprint;
use db::{Db, Txn};
use kit::clock::Zone;
use kit::id::{MemberId, OptionId, OrderId, SaleId};
use kit::page::{PAGE_SIZE_DEFAULT, Page};
use kit::{Clock, Code, Ctx, Currency, Fault, Ids, Millis, Result};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::gate::Gate;
use crate::intake::{Answer, Claim, Intake, IntakeDeps, Job, Move, MoveJob, Operation, PlaceJob, StockKey};
use crate::live::{Live, Watcher};
use crate::store::stock::NewEntry;
use crate::{Migrator, consumer, job, store};

/// What can be set; the defaults are those of the market's rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a hold lasts unpaid.
    pub hold_ms: i64,
    /// Requests decided in one transaction.
    pub batch_max: usize,
    /// Requests that may wait for the committer; one more is refused with `overloaded`.
    pub inbox_max: usize,
    pub currency: Currency,
    pub zone: Zone,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold_ms: 10 * 60_000,
            batch_max: 512,
            inbox_max: 8_192,
            currency: Currency::KRW,
            zone: kit::clock::zone("Asia/Seoul").unwrap_or(Zone::UTC),
        }
    }
}

pub struct Deps {
    pub db: Db,
    pub kv: kv::Shared,
    pub bus: bus::Shared,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub settings: Settings,
}

pub struct Service {
    pub(crate) db: Db,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live: Live,
    pub(crate) wake: bus::Wake,
    pub(crate) gate: Arc<Gate>,
    settings: Settings,
    intake: Intake,
    tasks: Mutex<JoinSet<()>>,
    relay: Mutex<Option<bus::Relay>>,
}

impl Service {
    pub async fn start(deps: Deps) -> Result<Arc<Self>> {
        let Deps { db, kv, bus, clock, ids, settings } = deps;
        db::migrate::<Migrator>(&db).await?;
        let (live, wake) = (Live::default(), bus::Wake::default());
        let gate = Arc::new(Gate::new(!db.is_shared()));
        let intake = Intake::start(IntakeDeps {
            db: db.clone(),
            gate: gate.clone(),
            live: live.clone(),
            wake: wake.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            zone: settings.zone.clone(),
            currency: settings.currency,
            hold_ms: settings.hold_ms,
            batch_max: settings.batch_max.max(1),
            inbox_max: settings.inbox_max.max(1),
        });
        let watcher = Watcher { db: db.clone(), kv, gate: gate.clone(), clock: clock.clone() };
        let relay = bus::Relay::start(db.clone(), bus.clone(), wake.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(watcher.run(live.clone()));
        let relay = Mutex::new(Some(relay));
        let service =
            Arc::new(Self { db, ids, clock, live, wake, gate, settings, intake, tasks: Mutex::default(), relay });
        tasks.spawn(job::expire(Arc::downgrade(&service)));
        tasks.spawn(job::return_left_overs(Arc::downgrade(&service)));
        tasks.spawn(job::purge(Arc::downgrade(&service)));
        *service.tasks.lock() = tasks;
        consumer::subscribe(&service, &bus).await?;
        Ok(service)
    }

    /// Answers what was handed in, then ends its tasks.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        self.intake.stop().await;
        let relay = self.relay.lock().take();
        if let Some(relay) = relay {
            relay.stop().await;
        }
    }

    /// Waits until the service cannot go on safely; never returns otherwise.
    pub async fn died(&self) -> Fault {
        self.intake.died().await
    }

    /// Hands a step of an order to the intake.
    pub(crate) async fn step(&self, ctx: &Ctx, order: OrderId, what: Move) -> Result<Answer> {
        self.intake.submit(ctx, Job::Move(MoveJob { order, what })).await
    }

    fn claim(&self, member: MemberId, operation: Operation, key: contract::IdempotencyKey, fingerprint: i64) -> Claim {
        Claim { member, operation, key, fingerprint }
    }
}

#[async_trait]
impl Order for Service {
    async fn place(&self, ctx: &Ctx, request: Place) -> Result<Once<Placed>> {
        let Place { member, key, body } = request;
        if body.total.currency != self.settings.currency {
            return Err(Code::CurrencyMismatch.into());
        }
        self.gate.check(member, &body, self.clock.now())?;
        let claim = self.claim(member, Operation::Place, key, fingerprint(&body));
        let job = Job::Place(PlaceJob { member, claim, lines: body.lines, total: body.total });
        match self.intake.submit(ctx, job).await? {
            Answer::Placed(placed) => Ok(Once::first(placed)),
            Answer::Replayed(placed) => Ok(Once::again(placed)),
            Answer::Moved { .. } => Err(Fault::internal("a placed order was answered as a moved one")),
        }
    }

    async fn cancel(&self, ctx: &Ctx, request: Cancel) -> Result<Once<OrderView>> {
        let Cancel { member, order, key } = request;
        let claim = self.claim(member, Operation::Cancel, key, fingerprint(&order));
        let replayed = match self.step(ctx, order, Move::Cancel { member, claim }).await? {
            Answer::Moved { replayed, .. } => replayed,
            Answer::Placed(_) | Answer::Replayed(_) => return Err(Fault::internal("a cancel was answered as a place")),
        };
        let answer = self.order(ctx, OwnOrder { member, order }).await?;
        Ok(Once { answer, replayed })
    }

    async fn order(&self, _: &Ctx, own: OwnOrder) -> Result<OrderView> {
        let found = store::order::find(self.db.read(), own.member, own.order, self.settings.currency).await?;
        found.ok_or_else(|| Code::NotFound.into())
    }

    async fn list_orders(&self, _: &Ctx, request: ListOrders) -> Result<Page<OrderView>> {
        let ListOrders { member, query } = request;
        let before = query.cursor.as_ref().map(kit::Cursor::key::<Uuid>).transpose()?;
        let size = query.size.unwrap_or(PAGE_SIZE_DEFAULT);
        let currency = self.settings.currency;
        let found = store::order::list(self.db.read(), member, &query, before, size + 1, currency).await?;
        Ok(Page::cut(found, size, |order| order.id.0))
    }

    async fn list_store_lines(&self, _: &Ctx, request: ListStoreLines) -> Result<Page<StoreLine>> {
        let ListStoreLines { seller, store, query } = request;
        if !store::order::owns_store(self.db.read(), seller, store).await? {
            return Err(Code::NotFound.into());
        }
        let before = query.cursor.as_ref().map(kit::Cursor::key::<(Uuid, i64)>).transpose()?;
        let size = query.size.unwrap_or(PAGE_SIZE_DEFAULT);
        let found = store::order::list_store_lines(self.db.read(), seller, store, &query, before, size + 1).await?;
        Ok(Page::cut(found, size, |line| (line.order_id.0, line.line.line_no)))
    }

    async fn availability(&self, _: &Ctx, options: Vec<OptionId>) -> Result<Vec<Availability>> {
        let options: BTreeSet<OptionId> = options.into_iter().collect();
        let options: Vec<OptionId> = options.into_iter().collect();
        store::stock::availability(self.db.read(), &options, self.clock.now()).await
    }

    async fn stock(&self, _: &Ctx, own: OwnOption) -> Result<Stock> {
        let found = store::stock::total(self.db.read(), own.seller, own.option).await?;
        found.ok_or_else(|| Code::NotFound.into())
    }

    async fn list_stock_entries(&self, ctx: &Ctx, request: ListStockEntries) -> Result<Page<StockEntry>> {
        let ListStockEntries { seller, option, query } = request;
        self.stock(ctx, OwnOption { seller, option }).await?;
        let before = query.cursor.as_ref().map(kit::Cursor::key::<Uuid>).transpose()?;
        let size = query.size.unwrap_or(PAGE_SIZE_DEFAULT);
        let found = store::stock::list_entries(self.db.read(), option, before, size + 1).await?;
        Ok(Page::cut(found, size, |(id, _)| *id).map(|(_, entry)| entry))
    }

    async fn change_stock(&self, ctx: &Ctx, request: ChangeStock) -> Result<Once<Stock>> {
        let ChangeStock { seller, option, key, body } = request;
        if body.reason == StockReason::Restock && body.difference < 0 {
            return Err(Fault::field("/difference", "range", "a restock adds units"));
        }
        let claim = record_of(seller, Operation::ChangeStock, &key, fingerprint(&(option, &body)));
        let now = self.clock.now();
        let txn = self.db.begin().await?;
        if let Some(answer) = db::idempotency::find(&txn, &claim).await? {
            return Ok(Once::again(answer));
        }
        let before = store::stock::total(&txn, seller, option).await?.ok_or(Code::NotFound)?;
        if !store::stock::change(&txn, seller, option, body.difference).await? {
            return Err(Fault::new(Code::StockTooLow).fact("available", before.available));
        }
        let cause = match body.reason {
            StockReason::Restock => StockCause::Restock,
            StockReason::Correction => StockCause::Correction,
        };
        let key = StockKey::new(option, None);
        let entry = NewEntry {
            id: self.ids.next(),
            key,
            cause,
            quantity: body.difference,
            actor: seller,
            note: body.note.trim(),
            at: now,
        };
        store::stock::create_entry(&txn, entry).await?;
        self.tell_turned(ctx, &txn, seller, option, before.available, now).await?;
        let answer = store::stock::total(&txn, seller, option).await?.ok_or(Code::NotFound)?;
        db::idempotency::record(&txn, &claim, &answer, now).await?;
        self.db.commit(txn).await?;
        self.changed([key]);
        Ok(Once::first(answer))
    }

    async fn create_sale(&self, ctx: &Ctx, request: CreateSale) -> Result<Once<Sale>> {
        let now = self.clock.now();
        check_sale(&request, now)?;
        let claim = record_of(
            request.seller,
            Operation::CreateSale,
            &request.key,
            fingerprint(&(request.store, &request.body)),
        );
        let txn = self.db.begin().await?;
        if let Some(answer) = db::idempotency::find(&txn, &claim).await? {
            return Ok(Once::again(answer));
        }
        let sale = self.set_aside(ctx, &txn, &request, now).await?;
        db::idempotency::record(&txn, &claim, &sale, now).await?;
        self.db.commit(txn).await?;
        let shelf = sale.lines.iter().map(|line| StockKey::new(line.option_id, None));
        let set_aside = sale.lines.iter().map(|line| StockKey::new(line.option_id, Some(sale.id)));
        self.changed(shelf.chain(set_aside));
        Ok(Once::first(sale))
    }

    async fn sale(&self, _: &Ctx, sale: SaleId) -> Result<Sale> {
        store::sale::find(self.db.read(), sale, self.clock.now()).await?.ok_or_else(|| Code::NotFound.into())
    }

    async fn list_sales(&self, _: &Ctx, query: ListSales) -> Result<Page<Sale>> {
        let after = query.cursor.as_ref().map(kit::Cursor::key::<(i64, Uuid)>).transpose()?;
        let size = query.size.unwrap_or(PAGE_SIZE_DEFAULT);
        let found = store::sale::list(self.db.read(), query.store, after, self.clock.now(), size + 1).await?;
        Ok(Page::cut(found, size, |sale| (sale.closes_at.0, sale.id.0)))
    }

    async fn begin_payment(&self, ctx: &Ctx, request: BeginPayment) -> Result<Payable> {
        let BeginPayment { member, order, attempt } = request;
        match self.step(ctx, order, Move::BeginPayment { member, attempt }).await? {
            Answer::Moved { total, .. } => Ok(Payable { order, amount: total }),
            Answer::Placed(_) | Answer::Replayed(_) => Err(Fault::internal("a payment was answered as a place")),
        }
    }

    async fn end_payment(&self, ctx: &Ctx, request: EndPayment) -> Result<OrderState> {
        let EndPayment { order, attempt, captured } = request;
        match self.step(ctx, order, Move::EndPayment { attempt, captured }).await? {
            Answer::Moved { state, .. } => Ok(state),
            Answer::Placed(_) | Answer::Replayed(_) => Err(Fault::internal("a payment was answered as a place")),
        }
    }
}

impl Service {
    /// Takes the units of a new sale off the shelf, in the caller's transaction.
    async fn set_aside(&self, ctx: &Ctx, txn: &Txn, request: &CreateSale, now: Millis) -> Result<Sale> {
        let CreateSale { seller, store, body, .. } = request;
        let sale = Sale {
            id: SaleId(self.ids.next()),
            store_id: *store,
            name: body.name.trim().to_owned(),
            opens_at: body.opens_at,
            closes_at: body.closes_at,
            limit_per_member: body.limit_per_member,
            lines: Vec::<SaleLine>::new(),
            now,
        };
        store::sale::create(txn, *seller, &sale).await?;
        for (index, line) in body.lines.iter().enumerate() {
            let shelf = store::stock::total(txn, *seller, line.option_id).await?.ok_or(Code::NotFound)?;
            let taken = store::stock::take_from_shelf(txn, *seller, *store, line.option_id, line.quantity).await?;
            match taken {
                true => {}
                false if shelf.available >= line.quantity => return Err(Code::NotFound.into()),
                false => {
                    let fault = Fault::new(Code::StockTooLow).fact("line", index);
                    return Err(fault.fact("available", shelf.available));
                }
            }
            store::stock::create_for_sale(txn, line.option_id, sale.id, line.quantity, line.price).await?;
            self.enter_set_aside(txn, *seller, line.option_id, sale.id, line.quantity, now).await?;
            self.tell_turned(ctx, txn, *seller, line.option_id, shelf.available, now).await?;
        }
        store::sale::find(txn, sale.id, now).await?.ok_or_else(|| Fault::internal("a new sale vanished"))
    }

    /// Both halves of moving `quantity` units from the shelf to a sale (below zero: back).
    pub(crate) async fn enter_set_aside(
        &self,
        txn: &Txn,
        actor: MemberId,
        option: OptionId,
        sale: SaleId,
        quantity: i64,
        now: Millis,
    ) -> Result<()> {
        let halves = [(StockKey::new(option, None), -quantity), (StockKey::new(option, Some(sale)), quantity)];
        for (key, quantity) in halves {
            let cause = StockCause::SetAside;
            let entry = NewEntry { id: self.ids.next(), key, cause, quantity, actor, note: "", at: now };
            store::stock::create_entry(txn, entry).await?;
        }
        Ok(())
    }

    /// Writes the event when the shelf went from empty to stocked or back.
    pub(crate) async fn tell_turned(
        &self,
        ctx: &Ctx,
        txn: &Txn,
        seller: MemberId,
        option: OptionId,
        before: i64,
        now: Millis,
    ) -> Result<()> {
        let Some(after) = store::stock::total(txn, seller, option).await? else { return Ok(()) };
        if (before > 0) == (after.available > 0) {
            return Ok(());
        }
        let Some(item) = store::stock::item_of(txn, option).await? else { return Ok(()) };
        let turned = contract::Event::StockTurned { option, item, in_stock: after.available > 0, at: now };
        bus::append(txn, &*self.ids, ctx, contract::event::topic::ORDER, &[turned], now).await
    }

    /// What follows a commit that changed stock outside the intake.
    pub(crate) fn changed(&self, keys: impl IntoIterator<Item = StockKey>) {
        let keys: Vec<StockKey> = keys.into_iter().collect();
        self.gate.open(keys.iter().copied());
        self.live.touch(keys);
        self.wake.wake();
    }
}

fn record_of(
    member: MemberId,
    operation: Operation,
    key: &contract::IdempotencyKey,
    fingerprint: i64,
) -> db::idempotency::Claim {
    let key = key.as_str().to_owned();
    db::idempotency::Claim { member: member.0, operation: operation as i64, key, fingerprint }
}

fn check_sale(request: &CreateSale, now: Millis) -> Result<()> {
    let body = &request.body;
    if body.closes_at <= body.opens_at {
        return Err(Fault::field("/closes_at", "order", "must be after the opening"));
    }
    if body.closes_at <= now {
        return Err(Fault::field("/closes_at", "past", "must be in the future"));
    }
    let mut seen = BTreeSet::new();
    for (index, line) in body.lines.iter().enumerate() {
        if !seen.insert(line.option_id) {
            return Err(Fault::field(format!("/lines/{index}/option_id"), "repeated", "stands twice"));
        }
    }
    Ok(())
}
