//! What goes to standard output. All of it passes here, so that a closed pipe ends a command quietly.

use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};

use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::{Deserialize, Serialize};

use crate::connection::Target;
use crate::exit::{Failure, one_line};
use crate::style::{self, Cell, Tone};

/// How things are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// The same columns unshortened, and more behind them
    Wide,
    /// Proto JSON with a kind: one object, or an array of them
    Json,
    /// The same as a stream of YAML documents
    Yaml,
    /// Names alone, one a line
    Name,
}

/// What commands that show things take.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// How to show them. Default: the context's, else table
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    /// No line with the names of the columns
    #[arg(long)]
    no_headers: bool,
}

impl OutputArgs {
    /// The view on what a control plane tells.
    pub(crate) fn view(self, target: &Target) -> View {
        self.view_with(target.output)
    }

    /// The view where this is the default.
    pub(crate) fn view_with(self, default: Option<Format>) -> View {
        let format = self.output.or(default).unwrap_or(Format::Table);
        let fitted = io::stdout().is_terminal() && format == Format::Table;
        View { format, headers: !self.no_headers, fitted, colours: style::on_stdout() }
    }
}

/// How something is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) format: Format,
    headers: bool,
    /// Whether a table is fitted to the width of the terminal.
    fitted: bool,
    pub(crate) colours: bool,
}

impl View {
    /// A table as files hold it.
    pub(crate) const PLAIN: Self =
        Self { format: Format::Table, headers: true, fitted: false, colours: false };
}

/// What can be shown in every format.
pub(crate) trait Show {
    /// The heads of the table's columns.
    const COLUMNS: &'static [&'static str];
    /// Those behind them in a wide table.
    const WIDE: &'static [&'static str];

    /// What it is called.
    fn called(&self) -> String;
    /// The row of the table; `now` in seconds since 1970.
    fn row(&self, wide: bool, now: i64) -> Vec<Cell>;
    /// The document.
    fn document(&self) -> Result<impl Serialize, Failure>;
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

/// A text on standard output, at once; `false`: nobody reads it any more.
pub(crate) fn told(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        result => io_result(result).map(|()| true),
    }
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
    let error = style::paint("error:", Tone::Bad, style::on_stderr());
    let _ = writeln!(io::stderr().lock(), "{error} {failure}");
}

/// A remark beside what a command shows, on standard error.
pub(crate) fn remark(text: &str) {
    let text = style::paint(text, Tone::Faint, style::on_stderr());
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows one thing.
pub(crate) fn one<S: Show>(item: &S, view: View, now: i64) -> Result<(), Failure> {
    match view.format {
        Format::Json => {
            let text = json(&item.document()?)?;
            print(|out| io_result(out.write_all(text.as_bytes())))
        }
        Format::Table | Format::Wide | Format::Yaml | Format::Name => {
            many(std::slice::from_ref(item), view, now)
        }
    }
}

/// Shows a list.
pub(crate) fn many<S: Show>(items: &[S], view: View, now: i64) -> Result<(), Failure> {
    let text = match view.format {
        Format::Table | Format::Wide => {
            let wide = view.format == Format::Wide;
            let columns = if wide { [S::COLUMNS, S::WIDE].concat() } else { S::COLUMNS.to_vec() };
            render(&columns, items.iter().map(|item| item.row(wide, now)).collect(), view)
        }
        Format::Name => items.iter().map(|item| one_line(&item.called()) + "\n").collect(),
        Format::Json => json(&items.iter().map(Show::document).collect::<Result<Vec<_>, _>>()?)?,
        Format::Yaml => {
            let documents = items.iter().map(|item| yaml(&item.document()?));
            documents.collect::<Result<Vec<_>, Failure>>()?.join("---\n")
        }
    };
    print(|out| io_result(out.write_all(text.as_bytes())))
}

/// A value as JSON for people, with the end of its last line.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(Failure::other)
}

/// A value as a YAML document, with the end of its last line.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(Failure::other)
}

/// A table without lines, with the end of its last line and without blanks at the ends of lines. It is nothing but
/// its head where there are no rows.
pub(crate) fn render(columns: &[&str], mut rows: Vec<Vec<Cell>>, view: View) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut columns = columns;
    if let Some(width) = table.width().filter(|_| view.fitted) {
        columns = fitting(columns, &rows, width.into());
        rows.iter_mut().for_each(|row| row.truncate(columns.len()));
        // What even so is too wide is broken within its cells.
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    if view.headers {
        let head = |name: &&str| Cell::toned(*name, Tone::Head).drawn(view.colours);
        table.set_header(columns.iter().map(head).collect::<Vec<_>>());
    } else if rows.is_empty() {
        return String::new();
    }
    let drawn = |row: Vec<Cell>| row.iter().map(|cell| cell.drawn(view.colours)).collect::<Vec<_>>();
    table.add_rows(rows.into_iter().map(drawn));
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(i > 0), 1));
    }
    table.trim_fmt() + "\n"
}

/// The columns, from the left, that stand unbroken in this width, two at least. `-o wide` has them all.
fn fitting<'a>(columns: &'a [&'a str], rows: &[Vec<Cell>], width: usize) -> &'a [&'a str] {
    let widths = columns.iter().enumerate().map(|(i, name)| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.text.chars().count());
        cells.chain([name.chars().count()]).max().unwrap_or_default()
    });
    // Two blanks stand between columns.
    let ends = widths.scan(0, |end, width| {
        *end += width + 2;
        Some(*end - 2)
    });
    let fit = ends.take_while(|end| *end <= width).count();
    columns.get(..fit.max(2)).unwrap_or(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_the_terminal_is_left_out_from_the_right() {
        let rows = vec![vec!["routes/a".into(), "shop.example".into(), "/*".into()]];
        let columns = ["NAME", "HOSTS", "MATCHES"];
        let fit = |width| fitting(&columns, &rows, width).len();
        assert_eq!([fit(31), fit(30), fit(22), fit(5)], [3, 2, 2, 2]);
        assert_eq!(fitting(&columns[..1], &[], 3).len(), 1);
    }

    #[test]
    fn a_table_is_columns_without_lines() {
        let rows = vec![vec!["routes/a".into(), "1".into()], vec!["routes/long-name".into(), "22".into()]];
        assert_eq!(
            render(&["NAME", "REVISION"], rows.clone(), View::PLAIN),
            "NAME              REVISION\nroutes/a          1\nroutes/long-name  22\n"
        );
        let bare = View { headers: false, ..View::PLAIN };
        assert_eq!(render(&["NAME", "REVISION"], rows, bare), "routes/a          1\nroutes/long-name  22\n");
        assert_eq!(render(&["NAME"], Vec::new(), bare), "");
    }
}
