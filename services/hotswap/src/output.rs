//! What goes to standard output. All of it passes here, so that a closed pipe ends a command quietly.

use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::exit::{Failure, one_line};
use crate::proto_json::{Document, descriptor};
use crate::resource::Resource;

/// How resources are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// Proto JSON with a kind: one object, or an array of them
    Json,
    /// The same as a stream of YAML documents
    Yaml,
    /// Names alone, one a line
    Name,
}

/// Runs `write` on standard output. A reader that has gone is no failure.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out)?;
    io_result(out.flush())
}

/// One line on standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(|out| io_result(writeln!(out, "{text}")))
}

/// The outcome of a write to standard output.
pub(crate) fn io_result(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::other(format!("can't write to standard output: {e}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A failure, on standard error. There is nothing to be done where that can't be written.
pub(crate) fn complain(failure: &Failure) {
    let _ = writeln!(io::stderr().lock(), "error: {failure}");
}

/// Shows one resource.
pub(crate) fn one<R: Resource>(item: &R, format: Format, now: i64) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let document = Document::new(R::KIND, &descriptor(R::MESSAGE)?, item)?;
            print(|out| json(out, &document))
        }
        Format::Table | Format::Yaml | Format::Name => many(std::slice::from_ref(item), format, now),
    }
}

/// Shows a list.
pub(crate) fn many<R: Resource>(items: &[R], format: Format, now: i64) -> Result<(), Failure> {
    match format {
        Format::Table => table(R::COLUMNS, items.iter().map(|item| item.row(now)).collect()),
        Format::Name => print(|out| {
            items.iter().try_for_each(|item| io_result(writeln!(out, "{}", one_line(item.name()))))
        }),
        Format::Json => {
            let documents = documents(items)?;
            print(|out| json(out, &documents))
        }
        Format::Yaml => print(|out| {
            for (i, document) in documents(items)?.iter().enumerate() {
                let text = serde_saphyr::to_string(document).map_err(Failure::other)?;
                let separator = if i == 0 { "" } else { "---\n" };
                io_result(write!(out, "{separator}{text}"))?;
            }
            Ok(())
        }),
    }
}

fn documents<R: Resource>(items: &[R]) -> Result<Vec<Document>, Failure> {
    let desc = descriptor(R::MESSAGE)?;
    items.iter().map(|item| Document::new(R::KIND, &desc, item)).collect()
}

fn json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(Failure::other)?;
    text.push('\n');
    io_result(out.write_all(text.as_bytes()))
}

/// A table without lines; on a terminal it is fitted to its width. Prints nothing but the head where it is
/// empty.
pub(crate) fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let text = render(columns, rows, io::stdout().is_terminal());
    print(|out| io_result(writeln!(out, "{text}")))
}

/// The table as text, without blanks at the ends of lines.
pub(crate) fn render(columns: &[&str], rows: Vec<Vec<String>>, terminal: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(columns.to_vec());
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>()));
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(i > 0), 1));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_columns_without_lines() {
        let rows = vec![vec!["routes/a".into(), "1".into()], vec!["routes/long-name".into(), "22".into()]];
        assert_eq!(
            render(&["NAME", "REVISION"], rows, false),
            "NAME              REVISION\nroutes/a          1\nroutes/long-name  22"
        );
    }
}
