//! `jangteo import`: fills a market from files, through the services like anybody else.
//!
//! It adds and never changes: what is there already is left as it is, so a run that was interrupted, or whose refused
//! rows were put right, is simply run again. The columns are described in `docs/import.md`.

mod file;
mod load;
mod olist;
mod own;
mod plan;
mod report;
mod stock;
#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;

pub use report::Report;

use crate::wire::Clients;
use file::Files;
use plan::Plan;

/// What the files look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// stores.csv, items.csv, options.csv, stock.csv.
    #[default]
    Csv,
    /// The Olist e-commerce data set: sellers.csv, products.csv, order_items.csv.
    Olist,
}

/// Reads the files in `folder` and fills the market with them. Rows that are refused are in the report; an error
/// means that the import could not go on, and may be run again.
pub async fn run(market: &Clients, folder: &Path, format: Format) -> Result<Report> {
    let mut report = Report::default();
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let files = Files::Folder(folder);
    let plan = match format {
        Format::Csv => Plan::read(&files, &mut report)?,
        Format::Olist => olist::read(&files, &mut report)?,
    };
    load::load(market, plan, &mut report).await?;
    Ok(report)
}

/// Fills the market with files that are part of the program, as `(name, text)`.
pub(crate) async fn run_texts(market: &Clients, texts: &[(&'static str, &'static str)]) -> Result<Report> {
    let mut report = Report::default();
    let plan = Plan::read(&Files::Texts(texts), &mut report)?;
    load::load(market, plan, &mut report).await?;
    Ok(report)
}
