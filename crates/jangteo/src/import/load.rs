//! Bringing a plan into the market: sellers, stores, categories, items, in this order; several calls at once where
//! they do not depend on one another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::{Result, anyhow};
use contract::catalog::{CategoryBody, CreateItem, Item, ItemBody, OpenStore, OptionBody, StoreBody};
use contract::member::{Enroll, Person, fold_email};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use kit::id::{CategoryId, MemberId, OptionId};
use kit::{Code, Ctx, Fault, Kind, Personal, Role, SystemIds};

use super::own::{self, Shop};
use super::plan::{ItemPlan, Place, Plan, StorePlan, fold};
use super::report::Report;
use super::stock;
use crate::wire::Clients;

/// Calls under way at once.
const CALLS_MAX: usize = 8;
/// People enrolled by one call.
const PEOPLE_MAX: usize = 200;
/// How often a call is made while the market is busy.
const TRIES_MAX: u32 = 8;
/// Pause before the next try; each is twice as long as the one before.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// How the market is called.
pub(super) struct Call<'a> {
    pub market: &'a Clients,
    pub ctx: Ctx,
}

impl Call<'_> {
    /// Makes a call again while the market is busy.
    pub(super) async fn again<T>(&self, call: impl AsyncFn() -> kit::Result<T>) -> kit::Result<T> {
        let mut pause = TRY_AGAIN;
        for _ in 1..TRIES_MAX {
            match call().await {
                Err(fault) if fault.kind() == Kind::Unavailable => tokio::time::sleep(pause).await,
                answer => return answer,
            }
            pause *= 2;
        }
        call().await
    }
}

/// A fault that ends the import.
pub(super) fn explained(fault: Fault) -> anyhow::Error {
    anyhow!("the market answered: {fault}")
}

/// Why a row was refused; an error when the fault is not the row's.
pub(super) fn reason(fault: Fault) -> Result<String> {
    match fault.kind() {
        Kind::Refused | Kind::Conflict | Kind::NotFound | Kind::Forbidden => {}
        _ => return Err(explained(fault)),
    }
    if fault.fields.is_empty() {
        return Ok(fault.code.title(kit::Lang::En).to_owned());
    }
    // The place in the file says the rest of the pointer.
    let column = |pointer: &str| pointer.rsplit('/').next().unwrap_or_default().to_owned();
    let fields = fault.fields.iter().map(|field| format!("{}: {}", column(&field.pointer), field.detail));
    Ok(fields.collect::<Vec<_>>().join("; "))
}

pub(super) fn bar(what: &'static str, steps: usize) -> ProgressBar {
    // Draws only where somebody is looking.
    let bar = ProgressBar::new(steps as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:<14} {wide_bar} {pos}/{len} {eta:>5}") {
        bar.set_style(style);
    }
    bar
}

/// Stores by folded name, or why they are not there.
pub(super) type Shops = HashMap<String, Result<Shop, String>>;

/// Fills the market. What a row is refused for is in the report; an error ends the import.
pub(super) async fn load(market: &Clients, plan: Plan, report: &mut Report) -> Result<()> {
    let call = Call { market, ctx: Ctx::internal(&SystemIds) };
    let sellers = enroll(&call, &plan.stores, report).await?;
    let mut shops = open_stores(&call, &plan.stores, &sellers, report).await?;
    let named = plan.items.iter().map(|item| &*item.store).chain(plan.changes.iter().map(|change| &*change.store));
    find_stores(&call, named.collect(), &mut shops).await?;
    let categories = make_categories(&call, &plan.items, report).await?;
    let made = create_items(&call, &plan.items, &categories, &mut shops, report).await?;
    stock::change(&call, &plan.changes, &shops, report).await?;
    stock::wait(&call, &made, report).await
}

/// Sellers by folded e-mail, or why they are not sellers here.
type Sellers = HashMap<String, Result<MemberId, String>>;

async fn enroll(call: &Call<'_>, stores: &[StorePlan], report: &mut Report) -> Result<Sellers> {
    let mut people = BTreeMap::new();
    for store in stores {
        let email = fold_email(&store.seller_email);
        people.entry(email.expose().to_owned()).or_insert_with(|| person(store, email));
    }
    let mut sellers = Sellers::new();
    let mut good = Vec::with_capacity(people.len());
    for (email, person) in people {
        match contract::valid(&person) {
            Ok(()) => good.push((email, person)),
            Err(fault) => {
                sellers.insert(email, Err(reason(fault)?));
            }
        }
    }
    let bar = bar("sellers", good.len());
    for some in good.chunks(PEOPLE_MAX) {
        let people = some.iter().map(|(_, person)| person.clone()).collect();
        let request = Enroll { role: Role::Seller, people, tokens: false };
        let enrolled = call.again(|| call.market.member.enroll(&call.ctx, request.clone())).await.map_err(explained)?;
        for ((email, _), enrolled) in some.iter().zip(enrolled) {
            let seller = match enrolled.created {
                true => Ok(enrolled.id),
                false => known_seller(call, enrolled.id).await?,
            };
            report.sellers.made += u64::from(enrolled.created);
            report.sellers.there += u64::from(!enrolled.created && seller.is_ok());
            sellers.insert(email.clone(), seller);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(sellers)
}

/// Without a password: the seller sets one by way of the e-mail address.
fn person(store: &StorePlan, email: Personal) -> Person {
    let business_name = Some(store.name.clone());
    Person { email, name: store.seller_name.clone(), phone: None, business_name, password: None }
}

async fn known_seller(call: &Call<'_>, member: MemberId) -> Result<Result<MemberId, String>> {
    let me = call.again(|| call.market.member.me(&call.ctx, member)).await.map_err(explained)?;
    Ok(match me.role {
        Role::Seller => Ok(member),
        Role::Buyer | Role::Admin => Err("the e-mail address belongs to a member who is not a seller".into()),
    })
}

async fn open_stores(call: &Call<'_>, stores: &[StorePlan], sellers: &Sellers, report: &mut Report) -> Result<Shops> {
    let bar = bar("stores", stores.len());
    let open = async |store: &StorePlan| {
        let seller = sellers.get(fold_email(&store.seller_email).expose());
        let opened = match seller {
            Some(Ok(seller)) => open_store(call, store, *seller).await,
            Some(Err(why)) => Ok(Err(why.clone())),
            None => Ok(Err("it has no seller".into())),
        };
        bar.inc(1);
        opened
    };
    let opened: Vec<_> = stream::iter(stores.iter().map(open)).buffered(CALLS_MAX).collect().await;
    bar.finish_and_clear();
    let mut shops = Shops::new();
    for (store, opened) in stores.iter().zip(opened) {
        let shop = match opened? {
            Ok(Opened { shop, new }) => {
                report.stores.made += u64::from(new);
                report.stores.there += u64::from(!new);
                Ok(shop)
            }
            Err(why) => {
                report.refuse(store.at, why);
                Err(format!("its store was refused ({})", store.at))
            }
        };
        shops.insert(fold(&store.name), shop);
    }
    Ok(shops)
}

struct Opened {
    shop: Shop,
    new: bool,
}

async fn open_store(call: &Call<'_>, store: &StorePlan, seller: MemberId) -> Result<Result<Opened, String>> {
    let body = StoreBody { name: store.name.clone(), description: store.description.clone() };
    let request = OpenStore { seller, key: None, body };
    match call.again(|| call.market.catalog.open_store(&call.ctx, request.clone())).await {
        Ok(once) => Ok(Ok(Opened { shop: Shop::new(&once.answer), new: true })),
        Err(fault) if is_taken(&fault) => match own::store(call, &store.name, Some(seller)).await? {
            Some(own) => Ok(Ok(Opened { shop: Shop::read(call, &own).await?, new: false })),
            None => Ok(Err("name: another store, or a closed one, has this name".into())),
        },
        Err(fault) => reason(fault).map(Err),
    }
}

fn is_taken(fault: &Fault) -> bool {
    fault.code == Code::InvalidFields && fault.fields.iter().any(|f| f.pointer == "/name" && f.reason == "taken")
}

/// Stores that are named but not among those of this import.
async fn find_stores(call: &Call<'_>, named: HashSet<&str>, shops: &mut Shops) -> Result<()> {
    for name in named {
        if shops.contains_key(&fold(name)) {
            continue;
        }
        let shop = match own::store(call, name, None).await? {
            Some(store) => Ok(Shop::read(call, &store).await?),
            None => Err("store: there is no such store".to_owned()),
        };
        shops.insert(fold(name), shop);
    }
    Ok(())
}

/// Categories by their path from the root, or why they are not there.
type Categories = BTreeMap<Vec<String>, Result<CategoryId, String>>;

async fn make_categories(call: &Call<'_>, items: &[ItemPlan], report: &mut Report) -> Result<Categories> {
    let mut categories = known_categories(call).await?;
    let mut used = HashSet::new();
    for item in items {
        for levels in 1..=item.category.len() {
            let path = &item.category[..levels];
            if !used.insert(path) {
                continue;
            }
            if categories.contains_key(path) {
                report.categories.there += 1;
                continue;
            }
            let category = make_category(call, path, &categories).await?;
            report.categories.made += u64::from(category.is_ok());
            categories.insert(path.to_vec(), category);
        }
    }
    Ok(categories)
}

async fn known_categories(call: &Call<'_>) -> Result<Categories> {
    let tree = call.again(|| call.market.catalog.list_categories(&call.ctx, ())).await.map_err(explained)?;
    let mut paths: HashMap<CategoryId, Vec<String>> = HashMap::new();
    // Parents come before their children.
    for category in &tree {
        let mut path = category.parent_id.and_then(|parent| paths.get(&parent).cloned()).unwrap_or_default();
        path.push(category.name.clone());
        paths.insert(category.id, path);
    }
    Ok(paths.into_iter().map(|(id, path)| (path, Ok(id))).collect())
}

async fn make_category(call: &Call<'_>, path: &[String], known: &Categories) -> Result<Result<CategoryId, String>> {
    let Some((name, above)) = path.split_last() else {
        return Ok(Err("category: must not be empty".into()));
    };
    let parent_id = match known.get(above) {
        Some(Ok(parent)) => Some(*parent),
        Some(Err(why)) => return Ok(Err(why.clone())),
        None => None,
    };
    let body = CategoryBody { name: name.clone(), parent_id };
    match call.again(|| call.market.catalog.create_category(&call.ctx, body.clone())).await {
        Ok(category) => Ok(Ok(category.id)),
        Err(fault) => Ok(Err(format!("category {name:?}: {}", reason(fault)?))),
    }
}

/// The new items; also noted in their shops.
async fn create_items(
    call: &Call<'_>,
    items: &[ItemPlan],
    categories: &Categories,
    shops: &mut Shops,
    report: &mut Report,
) -> Result<Vec<OptionId>> {
    let mut ready = Vec::with_capacity(items.len());
    for item in items {
        match request(item, categories, shops) {
            Ok(Some(request)) => ready.push((item, request)),
            Ok(None) => {
                report.items.there += 1;
                report.options.there += item.options.len() as u64;
            }
            Err(why) => report.refuse(item.at, why),
        }
    }
    let bar = bar("items", ready.len());
    let create = async |(item, request): (_, CreateItem)| {
        let created = call.again(|| call.market.catalog.create_item(&call.ctx, request.clone())).await;
        bar.inc(1);
        (item, created)
    };
    let mut answers = std::pin::pin!(stream::iter(ready.into_iter().map(create)).buffer_unordered(CALLS_MAX));
    let mut made = Vec::new();
    while let Some((item, created)) = answers.next().await {
        let created: kit::Result<Item> = created.map(|once| once.answer);
        match created {
            Ok(created) => {
                report.items.made += 1;
                report.options.made += created.options.len() as u64;
                made.extend(created.options.iter().map(|option| option.id));
                if let Some(Ok(shop)) = shops.get_mut(&fold(&item.store)) {
                    shop.note(&created);
                }
            }
            Err(fault) => {
                let at = place(item, &fault);
                report.refuse(at, reason(fault)?);
            }
        }
    }
    bar.finish_and_clear();
    Ok(made)
}

/// What creates the item; nothing when it is there.
fn request(item: &ItemPlan, categories: &Categories, shops: &Shops) -> Result<Option<CreateItem>, String> {
    let shop = match shops.get(&fold(&item.store)) {
        Some(Ok(shop)) => shop,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err("store: there is no such store".into()),
    };
    if shop.items.contains_key(item.name.trim()) {
        return Ok(None);
    }
    let category_id = match categories.get(&item.category) {
        Some(Ok(category)) => *category,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err("category: must not be empty".into()),
    };
    let options = item.options.iter().map(|option| OptionBody {
        id: None,
        name: option.name.clone(),
        price: option.price,
        stock: option.stock,
        limit_per_member: option.limit_per_member,
        limit_days: option.limit_days,
    });
    let body = ItemBody {
        name: item.name.clone(),
        description: item.description.clone(),
        category_id,
        on_sale: item.on_sale,
        hidden: item.hidden,
        options: options.collect(),
    };
    Ok(Some(CreateItem { seller: shop.seller, store: shop.id, key: None, body }))
}

/// The row of the option that is wrong, or else that of the item.
fn place(item: &ItemPlan, fault: &Fault) -> Place {
    let option = fault.fields.first().and_then(|field| {
        let at = field.pointer.strip_prefix("/options/")?.split('/').next()?;
        item.options.get(at.parse::<usize>().ok()?)
    });
    option.map_or(item.at, |option| option.at)
}
