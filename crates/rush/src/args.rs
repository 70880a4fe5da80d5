//! What the crowd can be told on the command line.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Ten thousand people, one button: sells a drop to a crowd through real HTTP and checks the outcome from outside.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    /// A running market to rush, such as http://127.0.0.1:8080; without it, a market of its own is started.
    ///
    /// The market must have its rehearsal routes switched on and its rate limits off.
    #[arg(long)]
    pub url: Option<String>,

    /// How many people press the button.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub buyers: u32,

    /// How many units there are.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub units: u32,

    /// The most units one member may buy.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub limit: u32,

    /// Keep-alive connections the crowd shares.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,

    /// The share of buyers who get a unit and never pay.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub walk_away: f64,

    /// Presses per second, evenly spaced; without it, everybody presses at the opening.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,

    /// How long an unpaid unit is held in a market of its own, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = hold_seconds)]
    pub hold_seconds: f64,

    /// Kill the market with SIGKILL and start it again, so many times in the middle of the sale. Its own market only.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100), conflicts_with = "url")]
    pub kills: u32,

    /// Runs its own market on this PostgreSQL database instead of on SQLite, in schemas whose names begin with `rush_`
    /// and which are left there; with --url, the database to audit.
    #[arg(long)]
    pub database: Option<String>,

    /// With --url: the market's data folder, to audit it afterwards.
    #[arg(long, requires = "url")]
    pub data: Option<PathBuf>,

    /// With --url: the e-mail address of an administrator.
    #[arg(long, requires = "url")]
    pub admin_email: Option<String>,

    /// With --url: the administrator's password.
    #[arg(long, requires = "url", env = "JANGTEO_ADMIN_PASSWORD", hide_env_values = true)]
    pub admin_password: Option<String>,

    /// With --url, where mails really leave: the e-mail address of a seller. Elsewhere one signs up by itself.
    #[arg(long, requires = "url", requires = "seller_password")]
    pub seller_email: Option<String>,

    /// With --url: the seller's password.
    #[arg(long, requires = "url", env = "JANGTEO_SELLER_PASSWORD", hide_env_values = true)]
    pub seller_password: Option<String>,

    /// Writes the outcome as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Writes the outcome as a page with pictures.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Who walks away is drawn from this number, so that a run can be repeated.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err("between 0 and 1".to_owned()),
    }
}

fn hold_seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (1.0..=3_600.0).contains(&value) {
        true => Ok(value),
        false => Err("between 1 and 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn defaults_are_ten_thousand_for_a_thousand() {
        let args = Cli::try_parse_from(["rush"]).expect("defaults").args;
        assert_eq!((args.buyers, args.units, args.limit, args.connections), (10_000, 1_000, 1, 256));
        assert_eq!((args.walk_away, args.kills, args.rate), (0.2, 0, None));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &["--walk-away", "1.5"][..],
            &["--buyers", "0"],
            &["--hold-seconds", "nan"],
            &["--url", "http://x", "--kills", "1"],
            &["--data", "x"],
        ] {
            let words = std::iter::once("rush").chain(bad.iter().copied());
            assert!(Cli::try_parse_from(words).is_err(), "{bad:?}");
        }
    }
}
