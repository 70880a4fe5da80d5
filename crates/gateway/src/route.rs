//! Every route, in one table per group. The router and the OpenAPI document are made from the same list.

mod account;
mod category;
mod item;
mod order;
mod page;
mod rehearsal;
mod sale;
mod stock;
mod store;
mod wallet;

use axum::Router;
use http::Method;
use kit::{Code, Fault};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;
use crate::openapi;
use crate::problem::Refusal;
use crate::settings::Settings;

/// The documented routes that every market has.
pub(crate) fn api() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(account::sign_up_buyer))
        .routes(routes!(account::sign_up_seller))
        .routes(routes!(account::verify_email))
        .routes(routes!(account::resend_verification))
        .routes(routes!(account::log_in, account::log_out_everywhere))
        .routes(routes!(account::refresh_session))
        .routes(routes!(account::log_out))
        .routes(routes!(account::me))
        .routes(routes!(account::keys))
        .routes(routes!(store::open, store::list))
        .routes(routes!(store::find, store::update, store::close))
        .routes(routes!(store::lines))
        .routes(routes!(item::create, item::list_own))
        .routes(routes!(item::list))
        .routes(routes!(item::find, item::update))
        .routes(routes!(category::list, category::create))
        .routes(routes!(category::update, category::remove))
        .routes(routes!(stock::find))
        .routes(routes!(stock::entries))
        .routes(routes!(stock::change))
        .routes(routes!(stock::availability))
        .routes(routes!(stock::stream))
        .routes(routes!(sale::create))
        .routes(routes!(sale::list))
        .routes(routes!(sale::find))
        .routes(routes!(order::place, order::list))
        .routes(routes!(order::find))
        .routes(routes!(order::cancel))
        .routes(routes!(order::pay))
        .routes(routes!(wallet::find))
        .routes(routes!(wallet::entries))
        .routes(routes!(wallet::credit))
}

/// The routes of rehearsals.
pub(crate) fn rehearsal() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(rehearsal::buyers)).routes(routes!(rehearsal::noop))
}

/// The router of a market with `settings`.
pub(crate) fn router(settings: &Settings) -> Router<Shared> {
    let mut documented = api();
    if settings.rehearsal {
        documented = documented.merge(rehearsal());
    }
    let (mut router, _) = documented.split_for_parts();
    for (_, path, page) in page::always() {
        router = router.route(path, page);
    }
    if settings.mailbox {
        for (_, path, page) in page::mailbox() {
            router = router.route(path, page);
        }
    }
    router
        .fallback(|| async { Refusal(Fault::new(Code::NotFound)) })
        .method_not_allowed_fallback(|| async { Refusal(Fault::new(Code::MethodNotAllowed)) })
}

/// Every route that a market can have, with rehearsals and mailbox.
pub(crate) fn all() -> Vec<(Method, String)> {
    let mut documented = api().merge(rehearsal());
    let paths = documented.to_openapi().paths.paths;
    let mut routes: Vec<(Method, String)> = paths
        .into_iter()
        .flat_map(|(path, item)| openapi::methods(&item).into_iter().map(move |method| (method, path.clone())))
        .collect();
    let pages = page::always().into_iter().chain(page::mailbox());
    routes.extend(pages.map(|(method, path, _)| (method, path.to_owned())));
    routes
}
