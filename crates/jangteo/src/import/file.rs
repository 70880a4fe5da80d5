//! Reading CSV files: headers, rows, and what is wrong with them, by line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use csv::{ErrorKind, StringRecord, Trim};
use serde::de::DeserializeOwned;

use super::plan::Place;
use super::report::Report;

/// Rows of one file. They are held in memory together.
const ROWS_MAX: u64 = 2_000_000;

/// Where the files are.
pub(super) enum Files<'a> {
    Folder(&'a Path),
    /// `(name, text)`.
    Texts(&'a [(&'static str, &'static str)]),
}

impl Files<'_> {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>> {
        match self {
            Self::Texts(texts) => {
                let found = texts.iter().find(|(text, _)| *text == name);
                Ok(found.map(|(_, text)| Box::new(text.as_bytes()) as Box<dyn Read>))
            }
            Self::Folder(folder) => match File::open(folder.join(name)) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e).with_context(|| format!("cannot open {}", folder.join(name).display())),
            },
        }
    }
}

/// The columns of a file.
pub(super) struct Columns {
    pub needed: &'static [&'static str],
    pub optional: &'static [&'static str],
    pub others: Others,
}

/// What is done with columns that are not known.
#[derive(Clone, Copy)]
pub(super) enum Others {
    /// Most likely a misspelt name.
    Refused,
    Ignored,
}

/// Reads a file row by row; false when there is no such file. Rows that cannot be read are refused in the report.
pub(super) fn read<Row: DeserializeOwned>(
    files: &Files<'_>,
    name: &'static str,
    columns: &Columns,
    report: &mut Report,
    mut take: impl FnMut(Place, Row, &mut Report),
) -> Result<bool> {
    let Some(file) = files.open(name)? else {
        return Ok(false);
    };
    let mut reader = csv::ReaderBuilder::new().trim(Trim::All).from_reader(std::io::BufReader::new(file));
    let headers = reader.headers().with_context(|| format!("{name}:1 cannot be read"))?.clone();
    check_headers(name, &headers, columns)?;
    let mut rows = 0;
    let mut record = StringRecord::new();
    loop {
        let row = match reader.read_record(&mut record) {
            Ok(false) => return Ok(true),
            Ok(true) => record.deserialize(Some(&headers)),
            Err(e) => Err(e),
        };
        rows += 1;
        if rows > ROWS_MAX {
            bail!("{name} has more than {ROWS_MAX} rows: split it");
        }
        match row {
            Ok(row) => take(Place { file: name, line: record.position().map_or(0, csv::Position::line) }, row, report),
            Err(e) if matches!(e.kind(), ErrorKind::Io(_)) => return Err(e).with_context(|| format!("reading {name}")),
            Err(e) => {
                let line = e.position().or(record.position()).map_or(0, csv::Position::line);
                report.refuse(Place { file: name, line }, why(&e, &headers));
            }
        }
    }
}

fn check_headers(name: &str, headers: &StringRecord, columns: &Columns) -> Result<()> {
    for needed in columns.needed {
        if !headers.iter().any(|header| header == *needed) {
            bail!("{name}:1: the column {needed:?} is missing");
        }
    }
    for (at, header) in headers.iter().enumerate() {
        let known = columns.needed.iter().chain(columns.optional).any(|known| *known == header);
        match columns.others {
            Others::Refused if !known => bail!("{name}:1: there is no column {header:?}; see docs/import.md"),
            Others::Refused | Others::Ignored => {}
        }
        if headers.iter().take(at).any(|earlier| earlier == header) {
            bail!("{name}:1: the column {header:?} stands twice");
        }
    }
    Ok(())
}

/// What is wrong with a row, without its values: they may be personal.
fn why(e: &csv::Error, headers: &StringRecord) -> String {
    match e.kind() {
        ErrorKind::Utf8 { .. } => "the row is not UTF-8".into(),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} columns, the header {expected_len}")
        }
        ErrorKind::Deserialize { err, .. } => {
            let field = err.field().and_then(|at| usize::try_from(at).ok());
            match field.and_then(|at| headers.get(at)) {
                Some(column) => format!("{column}: {}", err.kind()),
                None => err.kind().to_string(),
            }
        }
        _ => "the row cannot be read".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        name: String,
        price: i64,
        #[serde(default)]
        limit: Option<i64>,
    }

    const COLUMNS: Columns = Columns { needed: &["name", "price"], optional: &["limit"], others: Others::Refused };

    fn rows(text: &'static str) -> (Result<Vec<(u64, Row)>>, Report) {
        let mut report = Report::default();
        let mut rows = Vec::new();
        let read = read(&Files::Texts(&[("x.csv", text)]), "x.csv", &COLUMNS, &mut report, |at, row, _| {
            rows.push((at.line, row));
        });
        (read.map(|_| rows), report)
    }

    #[test]
    fn rows_keep_their_line_and_wrong_ones_say_why() {
        let text = "\u{feff}name, price,limit\n 사과 ,1000,\n\"two\nlines\",5,2\npear,much,\nfig,1\nplum,7,3\n";
        let (rows, report) = rows(text);
        let rows = rows.expect("readable");
        let names: Vec<(u64, &str, i64)> = rows.iter().map(|(line, row)| (*line, &*row.name, row.price)).collect();
        assert_eq!(names, [(2, "사과", 1_000), (3, "two\nlines", 5), (7, "plum", 7)]);
        assert_eq!((rows[0].1.limit, rows[2].1.limit), (None, Some(3)));
        let refused: Vec<String> = report.refused.iter().map(|r| format!("{} {}", r.at, r.reason)).collect();
        assert_eq!(
            refused,
            ["x.csv:5 price: invalid digit found in string", "x.csv:6 the row has 2 columns, the header 3"]
        );
    }

    #[test]
    fn a_wrong_header_is_said_at_once() {
        for (text, why) in [
            ("name\n", "the column \"price\" is missing"),
            ("name,price,colour\n", "there is no column \"colour\""),
            ("name,price,name\n", "the column \"name\" stands twice"),
        ] {
            let error = rows(text).0.expect_err("wrong").to_string();
            assert!(error.contains(why), "{error}");
        }
        let mut report = Report::default();
        let none = read(&Files::Texts(&[]), "x.csv", &COLUMNS, &mut report, |_, _: Row, _| {});
        assert!(!none.expect("no file is no error"));
    }
}
