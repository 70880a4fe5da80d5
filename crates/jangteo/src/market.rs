//! A market that people can reach: its services, and the gateway on a listener.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use gateway::Gateway;
use kit::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::wire::{Backlog, Clients, Form, Services, Surroundings, public_url};

pub struct Market {
    services: Services,
    gateway: Gateway,
    address: SocketAddr,
    url: String,
    /// What the market takes for the time.
    pub clock: Arc<dyn Clock>,
    draining: watch::Sender<bool>,
    door: JoinHandle<()>,
    metrics: Option<JoinHandle<()>>,
}

impl Market {
    /// Opens a market on the data in `data`, listening where the configuration says. It answers `/healthz` from now
    /// on, and is ready once [`Self::set_ready`] is called.
    pub async fn start(config: &Config, data: &Path, form: Form, around: &Surroundings) -> Result<Self> {
        let listener = listen(config.server.listen).await?;
        let address = listener.local_addr()?;
        let url = public_url(config, address);
        let draining = watch::Sender::new(false);
        let metrics = match config.server.metrics {
            // Before anything is made that counts.
            Some(address) => Some(serve_metrics(address, drained(&draining)).await?),
            None => None,
        };
        let services = Services::start(config, data, form, around, url.clone()).await?;
        let gateway = Gateway::new(services.gateway_deps(config, around))?;
        let (at_the_door, shutdown) = (gateway.clone(), drained(&draining));
        let door = tokio::spawn(async move { at_the_door.serve(listener, shutdown).await });
        Ok(Self { services, gateway, address, url, clock: around.clock.clone(), draining, door, metrics })
    }

    pub fn clients(&self) -> &Clients {
        self.services.clients()
    }

    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where people reach it, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the world may send people here: what `/readyz` says.
    pub fn set_ready(&self, ready: bool) {
        self.gateway.set_ready(ready);
    }

    /// What is on its way and not finished.
    pub async fn backlog(&self) -> kit::Result<Backlog> {
        self.services.backlog().await
    }

    /// Waits until a part of the market cannot go on; never returns otherwise. The process must stop then.
    pub async fn died(&mut self) -> anyhow::Error {
        let metrics = async {
            match &mut self.metrics {
                Some(metrics) => metrics.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            fault = self.services.died() => anyhow!("a service died: {fault}"),
            outcome = &mut self.door => anyhow!("the listener stopped: {outcome:?}"),
            outcome = metrics => anyhow!("the listener of the metrics stopped: {outcome:?}"),
        }
    }

    /// Takes no new requests, finishes those that run, then ends jobs and relays and closes the databases.
    pub async fn stop(self) -> Result<()> {
        self.draining.send_replace(true);
        // One that died has been reported by `died`; there is nothing left to wait for.
        let _ = self.door.await;
        if let Some(metrics) = self.metrics {
            // A reader of metrics is not waited for.
            metrics.abort();
        }
        self.services.stop().await
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

async fn serve_metrics(
    address: SocketAddr,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>> {
    let handle = gateway::metrics::install()?;
    let listener = listen(address).await?;
    Ok(tokio::spawn(gateway::metrics::serve(listener, handle, shutdown)))
}

fn drained(draining: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut draining = draining.subscribe();
    async move {
        // A market that is gone is drained.
        let _ = draining.wait_for(|draining| *draining).await;
    }
}

#[cfg(test)]
mod tests;
