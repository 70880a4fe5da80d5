//! Calls between services. A contract is a trait; its client runs the service in this process or reaches it over
//! HTTP/2, and nobody who calls can tell which: the same deadline, the same errors, the same request id, and a panic
//! in the service is a fault for its caller in both.
//!
//! Does not do: balancing, retries, breakers. They are layers around [`Peer`] and belong to the distributed form.

mod client;
mod server;

pub use client::Peer;
pub use server::{Served, route, serve};

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use kit::{Code, Ctx, Fault, Result};

/// The largest request or reply that may cross the wire.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

#[doc(hidden)]
pub mod private {
    pub use async_trait::async_trait;
    pub use axum::Router;
    pub use kit;
}

/// Runs one call of a service: within the deadline of `ctx`, and turning a panic into a fault.
pub async fn guard<T>(ctx: &Ctx, call: impl Future<Output = Result<T>>) -> Result<T> {
    let call = AssertUnwindSafe(call).catch_unwind();
    let outcome = match ctx.deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), call)
            .await
            .map_err(|_| Fault::new(Code::DeadlineExceeded).retry_after(1))?,
        None => call.await,
    };
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Fault::internal(format!("panic in a service: {text}")))
    })
}

/// Declares the contract of a service.
///
/// ```ignore
/// rpc::service! {
///     /// What the service answers for.
///     pub trait Clockmaker, client ClockmakerClient, name "clockmaker" {
///         /// What it does, and its errors.
///         fn wind(Wind) -> Wound;
///     }
/// }
/// ```
/// gives the trait `Clockmaker` (each method takes `&Ctx` and its request), and `ClockmakerClient` with `local`,
/// `remote`, `router` and the same methods.
#[macro_export]
macro_rules! service {
    (
        $(#[$doc:meta])*
        pub trait $service:ident, client $client:ident, name $name:literal {
            $($(#[$method_doc:meta])* fn $method:ident($request:ty) -> $reply:ty;)+
        }
    ) => {
        $(#[$doc])*
        #[$crate::private::async_trait]
        pub trait $service: Send + Sync + 'static {
            $($(#[$method_doc])*
            async fn $method(&self, ctx: &$crate::private::kit::Ctx, request: $request)
                -> $crate::private::kit::Result<$reply>;)+
        }

        /// The way to reach the service, wherever it runs.
        #[derive(Clone)]
        pub struct $client(::std::sync::Arc<dyn $service>);

        impl $client {
            /// The service runs in this process.
            pub fn local(service: ::std::sync::Arc<dyn $service>) -> Self {
                Self(service)
            }

            /// The service is reached over HTTP/2.
            pub fn remote(peer: $crate::Peer) -> Self {
                struct Remote($crate::Peer);

                #[$crate::private::async_trait]
                impl $service for Remote {
                    $(async fn $method(&self, ctx: &$crate::private::kit::Ctx, request: $request)
                        -> $crate::private::kit::Result<$reply> {
                        self.0.call(concat!("/", $name, "/", stringify!($method)), ctx, &request).await
                    })+
                }

                Self(::std::sync::Arc::new(Remote(peer)))
            }

            /// The server half of [`Self::remote`].
            pub fn router(&self) -> $crate::private::Router {
                let router = $crate::private::Router::new();
                $(
                let client = self.clone();
                let router = $crate::route(
                    router,
                    concat!("/", $name, "/", stringify!($method)),
                    move |ctx: $crate::private::kit::Ctx, request: $request| {
                        let client = client.clone();
                        async move { client.$method(&ctx, request).await }
                    },
                );
                )+
                router
            }

            $($(#[$method_doc])*
            pub async fn $method(&self, ctx: &$crate::private::kit::Ctx, request: $request)
                -> $crate::private::kit::Result<$reply> {
                $crate::guard(ctx, self.0.$method(ctx, request)).await
            })+
        }
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    crate::service! {
        /// Says things back.
        pub trait Echo, client EchoClient, name "echo" {
            fn say(String) -> String;
            fn refuse(String) -> ();
            fn panic(()) -> ();
            fn sleep(u64) -> ();
        }
    }

    struct Real;

    #[async_trait::async_trait]
    impl Echo for Real {
        async fn say(&self, ctx: &Ctx, text: String) -> Result<String> {
            Ok(format!("{text} {}", ctx.request_id))
        }
        async fn refuse(&self, _: &Ctx, text: String) -> Result<()> {
            Err(Fault::new(Code::SoldOut).fact("said", text).context("inner"))
        }
        async fn panic(&self, _: &Ctx, (): ()) -> Result<()> {
            panic!("boom")
        }
        async fn sleep(&self, _: &Ctx, ms: u64) -> Result<()> {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(())
        }
    }

    /// Both forms must behave the same.
    async fn both() -> (EchoClient, EchoClient, Served) {
        let local = EchoClient::local(Arc::new(Real));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let served = serve(listener, local.router());
        (local, EchoClient::remote(Peer::new(address)), served)
    }

    #[tokio::test]
    async fn local_and_remote_answer_alike() {
        let (local, remote, served) = both().await;
        let ctx = Ctx::internal(&kit::SystemIds);
        for client in [local, remote] {
            assert_eq!(client.say(&ctx, "hi".into()).await.expect("said"), format!("hi {}", ctx.request_id));
            let fault = client.refuse(&ctx, "no".into()).await.expect_err("refused");
            assert_eq!(fault.code, Code::SoldOut);
            assert_eq!(fault.context.as_deref(), Some("inner"));
            assert_eq!(fault.facts.expect("facts")["said"], "no");
            assert_eq!(client.panic(&ctx, ()).await.expect_err("fault").code, Code::Internal);
            let hurried = ctx.clone().within(Duration::from_millis(20));
            assert_eq!(client.sleep(&hurried, 5_000).await.expect_err("late").code, Code::DeadlineExceeded);
        }
        served.stop().await;
    }

    #[tokio::test]
    async fn a_dead_peer_is_unavailable() {
        let peer = Peer::new("127.0.0.1:1".parse().expect("address"));
        let fault = EchoClient::remote(peer).say(&Ctx::internal(&kit::SystemIds), "hi".into()).await;
        assert_eq!(fault.expect_err("dead").code, Code::Unavailable);
    }
}
