//! The command line: what a person can type, and which part of the program answers.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use contract::member::{Enroll, Person};
use kit::{Ctx, Personal, Role, Secret};

use crate::config::{Config, Hidden};
use crate::folder::{self, Folder};
use crate::lifecycle::{self, Demo};
use crate::wire::{Form, People, Services, Surroundings, public_url};
use crate::{audit, demo, import, log};

/// 장터: a market of many sellers and many buyers that never sells what is not there.
///
/// Without a command it serves a demo market in ./jangteo-data.
#[derive(Parser)]
#[command(name = "jangteo", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the market.
    Serve(Serve),
    /// Makes administrators.
    #[command(subcommand)]
    Admin(Admin),
    /// Fills the demo market into a data folder that no market is using.
    Seed(Place),
    /// Reads stores, items, options and stock from CSV files, into a data folder that no market is using. Exit code 1
    /// when rows were refused.
    Import(Import),
    /// Checks that everything adds up, also beside a running market. Exit code 1 when something does not.
    Audit(Audit),
    /// Shows and checks the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the OpenAPI document of the API.
    Openapi,
    Rush(rush::Args),
}

/// Which market.
#[derive(Args, Clone)]
struct Place {
    /// Folder with the market's data: databases, master key.
    #[arg(long, value_name = "DIR", default_value = "jangteo-data")]
    data: PathBuf,
    /// Configuration file (TOML); see `jangteo config print`.
    #[arg(long, value_name = "FILE", env = "JANGTEO_CONFIG")]
    config: Option<PathBuf>,
    /// A PostgreSQL server instead of SQLite files, such as postgres://user:password@host/name.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address and port of a second listener, for Prometheus.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Does not fill a new market with a demo.
    #[arg(long)]
    no_demo: bool,
}

#[derive(Subcommand)]
enum Admin {
    /// Makes an administrator; also beside a running market.
    ///
    /// The password is taken from JANGTEO_ADMIN_PASSWORD, or asked for, or read from standard input.
    Add {
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
struct Import {
    /// The folder with the files.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[arg(long, value_enum, default_value_t = import::Format::Csv)]
    format: import::Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Audit {
    #[command(flatten)]
    place: Place,
    /// Prints the checks as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints the configuration as it takes effect, without secrets.
    Print {
        #[arg(long, value_name = "FILE", env = "JANGTEO_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Says what is wrong with the configuration. Exit code 1 when something is.
    Check {
        #[arg(long, value_name = "FILE", env = "JANGTEO_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Prints every key with its explanation and its default.
    Template,
}

/// How long tasks may take to end after their work is done.
const RUNTIME_ENDS_WITHIN: Duration = Duration::from_secs(2);
/// The longest password that is read: longer than any that is allowed.
const PASSWORD_BYTES_MAX: u64 = 4_096;

/// Does what the command line says.
pub fn run() -> ExitCode {
    // Reads FAILPOINTS; the points are forgotten when it is dropped.
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    let cli = Cli::parse();
    match execute(cli.command.unwrap_or(Command::Serve(cli.serve))) {
        Ok(code) => code,
        Err(e) => {
            // The cause of a cause is what an operator needs; nobody may be reading.
            let _ = writeln!(std::io::stderr(), "jangteo: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(args) => block_on(serve(args)),
        Command::Admin(Admin::Add { email, name, place }) => block_on(add_admin(email, name, place)),
        Command::Seed(place) => block_on(seed(place)),
        Command::Import(args) => block_on(run_import(args)),
        Command::Audit(args) => block_on(run_audit(args)),
        Command::Config(command) => run_config(command),
        Command::Openapi => say(&gateway::openapi().to_pretty_json()?),
        // It has a runtime of its own.
        Command::Rush(args) => Ok(if rush::run(args)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

fn block_on(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_ENDS_WITHIN);
    outcome
}

impl Place {
    fn config(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(url) = &self.database {
            config.database.url = Some(Hidden(Secret::new(url.as_str())));
        }
        Ok(config)
    }
}

async fn serve(args: Serve) -> Result<ExitCode> {
    let mut config = args.place.config()?;
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    config.server.metrics = args.metrics.or(config.server.metrics);
    log::start(&config.log)?;
    let demo = if args.no_demo { Demo::Leave } else { Demo::Fill };
    lifecycle::serve(&config, &args.place.data, demo).await?;
    Ok(ExitCode::SUCCESS)
}

async fn add_admin(email: String, name: String, place: Place) -> Result<ExitCode> {
    let config = place.config()?;
    let password = tokio::task::spawn_blocking(password).await??;
    log::start(&config.log.for_commands())?;
    folder::make(&place.data)?;
    let around = Surroundings::default();
    let people = People::start(&config, &place.data, &around).await?;
    let person = Person {
        email: Personal::new(email),
        name: Personal::new(name),
        phone: None,
        business_name: None,
        password: Some(password),
    };
    let request = Enroll { role: Role::Admin, people: vec![person], tokens: false };
    let enrolled = people.client().enroll(&Ctx::internal(&*around.ids), request).await;
    people.stop().await?;
    let enrolled = enrolled.map_err(explained)?;
    match enrolled.first() {
        Some(admin) if admin.created => say(&format!("administrator {} can sign in", admin.id)),
        Some(_) => bail!("this e-mail address belongs to a member already; nothing was changed"),
        None => bail!("nobody was made"),
    }
}

async fn seed(place: Place) -> Result<ExitCode> {
    let config = place.config()?;
    log::start(&config.log.for_commands())?;
    with_services(&config, &place, async |services| demo::fill(services.clients()).await).await?;
    say(&format!("The demo market is in place.\n{}", demo::accounts().trim_end()))
}

async fn run_import(args: Import) -> Result<ExitCode> {
    let config = args.place.config()?;
    log::start(&config.log.for_commands())?;
    let mut report = None;
    with_services(&config, &args.place, async |services| {
        report = Some(import::run(services.clients(), &args.folder, args.format).await?);
        Ok(())
    })
    .await?;
    let report = report.context("nothing was imported")?;
    say(&report.to_string())?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_audit(args: Audit) -> Result<ExitCode> {
    let config = args.place.config()?;
    let checks = audit::run(&config.source(&args.place.data)).await?;
    match args.json {
        true => say(&serde_json::to_string_pretty(&checks)?)?,
        false => say(audit::text(&checks).trim_end())?,
    };
    Ok(if audit::holds(&checks) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_config(command: ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Print { config } => say(Config::load(config.as_deref())?.to_toml()?.trim_end()),
        ConfigCommand::Template => say(Config::template().trim_end()),
        ConfigCommand::Check { config } => {
            Config::load(config.as_deref())?;
            let unknown = Config::unknown_variables();
            match unknown.is_empty() {
                true => say("the configuration is good"),
                false => bail!("unknown in the environment: {}", unknown.join(", ")),
            }
        }
    }
}

/// Runs `work` on the services of a market that nobody else is serving from this folder.
async fn with_services(config: &Config, place: &Place, work: impl AsyncFnOnce(&Services) -> Result<()>) -> Result<()> {
    let _folder = Folder::take(&place.data)?;
    let url = public_url(config, config.server.listen);
    let services = Services::start(config, &place.data, Form::Local, &Surroundings::default(), url).await?;
    let done = tokio::select! {
        done = work(&services) => done,
        fault = services.died() => Err(anyhow::anyhow!("a service died: {fault}")),
    };
    done.and(services.stop().await)
}

/// From the environment, from a person, or from standard input, in this order.
fn password() -> Result<Secret> {
    if let Ok(password) = std::env::var("JANGTEO_ADMIN_PASSWORD") {
        return Ok(Secret::new(password));
    }
    if std::io::stdin().is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str("Password: ")?;
        return Ok(Secret::new(terminal.read_secure_line()?));
    }
    let mut text = String::new();
    std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).context("no password on standard input")?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

/// A fault with what is wrong in its fields, for a person.
fn explained(fault: kit::Fault) -> anyhow::Error {
    // The pointer leads into a list that the person did not write; its last part is the name they know.
    let name = |pointer: &str| pointer.rsplit('/').next().unwrap_or_default().to_owned();
    let fields = fault.fields.iter().map(|field| format!("{}: {}", name(&field.pointer), field.detail));
    let fields: Vec<String> = fields.collect();
    match fields.is_empty() {
        true => anyhow::Error::new(fault),
        false => anyhow::anyhow!("{}", fields.join("; ")),
    }
}

fn say(text: &str) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").context("nobody reads standard output")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
        let cli = Cli::try_parse_from(["jangteo", "--data", "x", "--no-demo"]).expect("parsed");
        assert!(cli.command.is_none());
        assert!(cli.serve.no_demo);
        let cli = Cli::try_parse_from(["jangteo", "serve", "--listen", "127.0.0.1:0"]).expect("parsed");
        assert!(matches!(cli.command, Some(Command::Serve(Serve { no_demo: false, .. }))));
    }
}
