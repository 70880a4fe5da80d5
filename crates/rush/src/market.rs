//! The market that is rushed: one that runs already, or one of its own in a temporary folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use http::HeaderValue;
use kit::audit::Check;
use tempfile::TempDir;

use crate::args::Args;
use crate::server::{self, Launch, Server};
use crate::stage::{Desk, sign_up_seller};
use crate::wire::Target;

/// The administrator of a market of its own. The password is made for the run and forgotten with it.
const ADMIN_EMAIL: &str = "rush@jangteo.example";
/// What schemas are called where nobody says otherwise.
const PREFIX_DEFAULT: &str = "jangteo";

pub struct Market {
    target: Target,
    admin: Option<Login>,
    seller: Option<Login>,
    /// Where the data can be audited, if at all.
    data: Option<PathBuf>,
    database: Option<Database>,
    /// Its own server, in a temporary folder that goes when it is dropped.
    server: Option<Server>,
    folder: Option<TempDir>,
}

/// E-mail address and password.
type Login = (String, String);

struct Database {
    url: String,
    prefix: String,
}

impl Market {
    pub async fn open(args: &Args) -> Result<Self> {
        match &args.url {
            Some(url) => Self::running(args, url).await,
            None => Self::start(args).await,
        }
    }

    async fn running(args: &Args, url: &str) -> Result<Self> {
        Ok(Self {
            target: Target::find(url).await?,
            admin: args.admin_email.clone().zip(args.admin_password.clone()),
            seller: args.seller_email.clone().zip(args.seller_password.clone()),
            data: args.data.clone(),
            database: args.database.clone().map(|url| Database { url, prefix: PREFIX_DEFAULT.into() }),
            server: None,
            folder: None,
        })
    }

    async fn start(args: &Args) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("jangteo-rush-").tempdir().context("no temporary folder")?;
        // The time is part of it, so that each run on a database has schemas of its own.
        let prefix = format!("rush_{}", uuid::Uuid::now_v7().simple());
        let launch = Launch {
            executable: executable()?,
            data: folder.path().to_owned(),
            config: config(args.hold_seconds / 60.0),
            database: args.database.clone(),
            prefix: prefix.clone(),
            core: None,
        };
        let password = uuid::Uuid::now_v7().to_string();
        server::add_admin(&launch, ADMIN_EMAIL, &password)?;
        let server = Server::start(launch).await?;
        Ok(Self {
            target: server.target().clone(),
            admin: Some((ADMIN_EMAIL.into(), password)),
            seller: None,
            data: Some(folder.path().to_owned()),
            database: args.database.clone().map(|url| Database { url, prefix }),
            server: Some(server),
            folder: Some(folder),
        })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its own server, to be killed.
    pub fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    pub fn engine(&self) -> &'static str {
        match (&self.folder, &self.database) {
            (None, _) => "unknown",
            (Some(_), Some(_)) => "postgresql",
            (Some(_), None) => "sqlite",
        }
    }

    /// The administrator's token.
    pub async fn sign_in(&self, desk: &mut Desk<'_>) -> Result<HeaderValue> {
        let (email, password) = self.admin.as_ref().context(
            "a running market needs --admin-email and --admin-password (or JANGTEO_ADMIN_PASSWORD), for making buyers",
        )?;
        desk.login(email, password).await
    }

    /// The token of somebody who sells.
    pub async fn hire(&self, desk: &mut Desk<'_>) -> Result<HeaderValue> {
        match &self.seller {
            Some((email, password)) => desk.login(email, password).await,
            None => sign_up_seller(desk).await,
        }
    }

    /// Stops its own server and audits the data, where it can be reached.
    pub async fn close(&mut self) -> Result<Option<Vec<Check>>> {
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        match (&self.data, &self.database) {
            (None, None) => Ok(None),
            (data, database) => audit(data.as_deref(), database.as_ref()).map(Some),
        }
    }

    /// Leaves its own data and log where they are, for a closer look; where that is.
    pub fn keep(self) -> Option<PathBuf> {
        drop(self.server);
        self.folder.map(TempDir::keep)
    }
}

fn audit(data: Option<&Path>, database: Option<&Database>) -> Result<Vec<Check>> {
    let database = database.map(|database| (database.url.as_str(), database.prefix.as_str()));
    server::audit(&executable()?, data, database)
}

/// The program that is running: the market is the same one.
fn executable() -> Result<PathBuf> {
    std::env::current_exe().context("which program is this?")
}

/// The configuration of a market that is only there to be rushed.
fn config(hold_minutes: f64) -> String {
    format!(
        "[order]\nhold_minutes = {hold_minutes}\n\n\
         [member]\naccess_minutes = 1440\n\n\
         [rehearsal]\nenabled = true\n\n\
         [limits]\nrate_limits = false\n"
    )
}
