//! Imports into a real market.

use std::path::Path;

use contract::catalog::{GetItem, Item, ListItems, ListOwnItems, ListStores, OwnItemsQuery, Store};
use contract::member::{Enroll, Person};
use contract::order::OwnOption;
use kit::{Ctx, Personal, Role, SystemIds};

use super::report::Count;
use super::*;
use crate::config::Config;
use crate::wire::{Form, Services, Surroundings};

/// A market in a folder of its own.
pub(crate) async fn with_market(test: impl AsyncFn(&Clients)) {
    let dir = tempfile::tempdir().expect("folder");
    let config = Config::load(None).expect("defaults");
    let url = "http://127.0.0.1".to_owned();
    let around = Surroundings::default();
    let services = Services::start(&config, dir.path(), Form::Local, &around, url).await.expect("services");
    test(services.clients()).await;
    services.stop().await.expect("stopped");
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

fn refused(report: &Report) -> Vec<String> {
    report.refused.iter().map(|refusal| format!("{} {}", refusal.at, refusal.reason)).collect()
}

fn ctx() -> Ctx {
    Ctx::internal(&SystemIds)
}

async fn store(market: &Clients, name: &str) -> Store {
    let query = ListStores { name: Some(name.into()), ..Default::default() };
    let found = market.catalog.list_stores(&ctx(), query).await.expect("stores").items;
    found.into_iter().find(|store| store.name == name).expect("store")
}

async fn items(market: &Clients, store: &Store) -> Vec<Item> {
    let query = OwnItemsQuery { cursor: None, size: Some(100) };
    let own = ListOwnItems { seller: store.seller_id, store: store.id, query };
    market.catalog.list_own_items(&ctx(), own).await.expect("items").items
}

async fn available(market: &Clients, store: &Store, item: &str, option: &str) -> i64 {
    let items = items(market, store).await;
    let item = items.iter().find(|one| one.name == item).expect("item");
    let option = item.options.iter().find(|one| one.name == option).expect("option").id;
    market.order.stock(&ctx(), OwnOption { seller: store.seller_id, option }).await.expect("stock").available
}

const STORES: &str = "name,seller_email,seller_name,description
Apple House,Apple@Example.com,Kim,from the hills
Pear House,pear@example.com,,
";
const ITEMS: &str = "store,name,category,description,on_sale,hidden
Apple House,Fuji,Food > Fruit,\"Sweet,
and firm\",true,
apple house,Gala,Food > Fruit,,,true
Pear House,Fuji,Food,,false,
";
const OPTIONS: &str = "store,item,name,price,stock,limit_per_member,limit_days
Apple House,Fuji,1 kg,900,10,2,7
Apple House,Fuji,3 kg,2500,0,,
Apple House,Gala,1 kg,800,5,,
Pear House,Fuji,1 kg,700,,,
";
const STOCK: &str = "store,item,option,difference,reason,reference
Apple House,Fuji,1 kg,5,restock,delivery 1
Apple House,Fuji,1 kg,-3,correction,count 1
";

#[tokio::test]
async fn what_is_in_the_files_is_in_the_market_once() {
    with_market(async |market| {
        let folder = tempfile::tempdir().expect("folder");
        write(
            folder.path(),
            &[("stores.csv", STORES), ("items.csv", ITEMS), ("options.csv", OPTIONS), ("stock.csv", STOCK)],
        );
        let first = run(market, folder.path(), Format::Csv).await.expect("imported");
        assert!(first.is_clean(), "{first}");
        let made = |made| Count { made, there: 0 };
        assert_eq!((first.sellers, first.stores, first.categories), (made(2), made(2), made(2)));
        assert_eq!((first.items, first.options, first.stock_changes), (made(3), made(4), made(2)));
        let again = run(market, folder.path(), Format::Csv).await.expect("imported");
        assert!(again.is_clean(), "{again}");
        let there = |there| Count { made: 0, there };
        assert_eq!((again.sellers, again.stores, again.categories), (there(2), there(2), there(2)));
        assert_eq!((again.items, again.options, again.stock_changes), (there(3), there(4), there(2)));

        let apple = store(market, "Apple House").await;
        assert_eq!(apple.description, "from the hills");
        let fuji = &items(market, &apple).await[0];
        assert_eq!((fuji.name.as_str(), fuji.description.as_str()), ("Fuji", "Sweet,\nand firm"));
        let options: Vec<_> =
            fuji.options.iter().map(|o| (&*o.name, o.price, o.limit_per_member, o.limit_days)).collect();
        assert_eq!(options, [("1 kg", 900, Some(2), Some(7)), ("3 kg", 2_500, None, None)]);
        assert_eq!(available(market, &apple, "Fuji", "1 kg").await, 12);
        assert_eq!(available(market, &apple, "Gala", "1 kg").await, 5);
        // One is hidden, one is not on sale.
        let shelf = market.catalog.list_items(&ctx(), ListItems::default()).await.expect("shelf").items;
        assert_eq!(shelf.iter().map(|item| item.id).collect::<Vec<_>>(), [fuji.id]);
    })
    .await;
}

#[tokio::test]
async fn stock_alone_goes_to_stores_that_are_there() {
    with_market(async |market| {
        let folder = tempfile::tempdir().expect("folder");
        write(folder.path(), &[("stores.csv", STORES), ("items.csv", ITEMS), ("options.csv", OPTIONS)]);
        run(market, folder.path(), Format::Csv).await.expect("imported");
        let restock = tempfile::tempdir().expect("folder");
        let text = "store,item,option,difference,reason,reference
apple house,Fuji,1 kg,7,restock,delivery 2
Apple House,Fuji,1 kg,8,restock,delivery 2
Apple House,Fuji,1 kg,-99,correction,too many
Apple House,Fuji,1 kg,-1,restock,less
Apple House,Fuji,1 kg,0,restock,nothing
Apple House,Fuji,9 kg,1,restock,r
Apple House,Plum,1 kg,1,restock,r
Nobody's,Plum,1 kg,1,restock,r
";
        write(restock.path(), &[("stock.csv", text)]);
        for made in [1, 0] {
            let report = run(market, restock.path(), Format::Csv).await.expect("imported");
            assert_eq!(report.stock_changes, Count { made, there: 1 - made });
            assert_eq!(
                refused(&report),
                [
                    "stock.csv:3 reference: it stands for a change by 7 already",
                    "stock.csv:4 There are not that many units to take away.",
                    "stock.csv:5 difference: a restock adds units",
                    "stock.csv:6 difference: not zero, and at most 1,000,000,000 either way",
                    "stock.csv:7 option: the item has no such option",
                    "stock.csv:8 item: the store has no such item",
                    "stock.csv:9 store: there is no such store",
                ]
            );
        }
        let apple = store(market, "Apple House").await;
        assert_eq!(available(market, &apple, "Fuji", "1 kg").await, 17);
    })
    .await;
}

#[tokio::test]
async fn refused_rows_are_named_and_the_rest_is_imported() {
    with_market(async |market| {
        let buyer = Person {
            email: Personal::new("buyer@example.com"),
            name: Personal::new("Lee"),
            phone: None,
            business_name: None,
            password: None,
        };
        let enroll = Enroll { role: Role::Buyer, people: vec![buyer], tokens: false };
        market.member.enroll(&ctx(), enroll).await.expect("enrolled");
        let folder = tempfile::tempdir().expect("folder");
        let long = "x".repeat(101);
        let stores = "name,seller_email\nGood,good@example.com\nBuyer's,buyer@example.com\nBad,not an address\n\
                      Other,other@example.com\n";
        let items = format!(
            "store,name,category\nGood,a,Food\nGood,b,\nGood,c,Food\nGood,{long},Food\nBad,d,Food\nLost,e,Food\n\
             {long},f,Food\n"
        );
        let options = format!(
            "store,item,name,price,stock\nGood,a,o,1,1\nGood,b,o,1,1\nGood,c,o,1,1\nGood,c,p,-1,1\n\
             Good,{long},o,1,1\nBad,d,o,1,1\nLost,e,o,1,1\n{long},f,o,1,1\n"
        );
        write(folder.path(), &[("stores.csv", stores), ("items.csv", &items), ("options.csv", &options)]);
        let report = run(market, folder.path(), Format::Csv).await.expect("imported");
        let mut found = refused(&report);
        found.sort();
        let expected = [
            "items.csv:3 category \"\": name: 1 to 100 characters",
            "items.csv:5 name: 1 to 100 characters",
            "items.csv:6 its store was refused (stores.csv:4)",
            "items.csv:7 store: there is no such store",
            "items.csv:8 store: there is no such store",
            "options.csv:5 price: lower than 0",
            "stores.csv:3 the e-mail address belongs to a member who is not a seller",
            "stores.csv:4 email: not an e-mail address",
        ];
        assert_eq!(found, expected, "{report}");
        assert_eq!((report.stores.made, report.items.made), (2, 1));
        assert!(!report.to_string().contains('@'), "no address in the report");

        // Put right and run again: what was refused is added, the rest is there.
        write(folder.path(), &[("options.csv", &options.replace("p,-1,1", "p,1,1"))]);
        let report = run(market, folder.path(), Format::Csv).await.expect("imported");
        assert_eq!((report.items, report.refused_total), (Count { made: 1, there: 1 }, 7));

        // The name belongs to another seller now.
        let taken = "name,seller_email\nGood,new@example.com\n";
        let other = tempfile::tempdir().expect("folder");
        write(other.path(), &[("stores.csv", taken)]);
        let report = run(market, other.path(), Format::Csv).await.expect("imported");
        assert_eq!(refused(&report), ["stores.csv:2 name: another store, or a closed one, has this name"]);
    })
    .await;
}

#[tokio::test]
async fn the_olist_format_makes_a_market_that_can_sell_what_was_sold() {
    with_market(async |market| {
        let folder = tempfile::tempdir().expect("folder");
        let sellers = "seller_id,seller_zip_code_prefix,seller_city,seller_state\n\
                       s1s1s1s1x,01000,sao paulo,SP\ns2s2s2s2x,02000,rio,RJ\n";
        let products = "product_id,product_category_name,product_name_lenght,product_description_lenght,\
                        product_photos_qty,product_weight_g,product_length_cm,product_height_cm,product_width_cm\n\
                        p1p1p1p1x,bebes,1,1,1,1,1,1,1\np2p2p2p2x,,,,,,,,\n";
        let order_items = "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value\n\
                           o1,1,p1p1p1p1x,s1s1s1s1x,2018-01-01 00:00:00,99.9,1\n\
                           o1,2,p1p1p1p1x,s1s1s1s1x,2018-01-01 00:00:00,99.9,1\n\
                           o2,1,p1p1p1p1x,s1s1s1s1x,2018-02-01 00:00:00,89.0,1\n";
        write(folder.path(), &[("sellers.csv", sellers), ("products.csv", products), ("order_items.csv", order_items)]);
        for made in [1, 0] {
            let report = run(market, folder.path(), Format::Olist).await.expect("imported");
            assert!(report.is_clean(), "{report}");
            let twice = Count { made: 2 * made, there: 2 * (1 - made) };
            assert_eq!((report.sellers, report.stores, report.options), (twice, twice, twice));
            assert!(report.notes[0].starts_with("1 products were never sold"), "{report}");
        }
        let store = store(market, "sao paulo SP s1s1s1s1").await;
        let item = &items(market, &store).await[0];
        let shown = market.catalog.item(&ctx(), GetItem { item: item.id, viewer: None }).await.expect("item");
        let options: Vec<(&str, i64)> = shown.options.iter().map(|option| (&*option.name, option.price)).collect();
        assert_eq!(options, [("R$ 89.00", 8_900), ("R$ 99.90", 9_990)]);
        assert_eq!(available(market, &store, &item.name, "R$ 99.90").await, 2);
        let tree = market.catalog.list_categories(&ctx(), ()).await.expect("tree");
        assert_eq!(tree.iter().map(|category| &*category.name).collect::<Vec<_>>(), ["bebes"]);
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    with_market(async |market| {
        assert!(run(market, Path::new("/nowhere/at/all"), Format::Csv).await.is_err());
        let empty = tempfile::tempdir().expect("folder");
        assert!(run(market, empty.path(), Format::Olist).await.is_err());
    })
    .await;
}
