//! Text for people.

/// A table, its columns as wide as what stands in them.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |row: usize, column: usize| match row {
        0 => heads.get(column).copied().unwrap_or_default(),
        row => rows.get(row - 1).and_then(|r| r.get(column)).map(String::as_str).unwrap_or_default(),
    };
    let width = |column| (0..=rows.len()).map(|row| cells(row, column).chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for row in 0..=rows.len() {
        let line: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| format!("{:<width$}", cells(row, column)))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Names and values, one a line.
pub(super) fn fields(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    lines.iter().fold(String::new(), |text, (name, value)| {
        let name = format!("{name}:");
        text + &format!("{name:<width$}  {value}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows = [vec!["routes/a".to_owned(), "x".to_owned()], vec!["b".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "OF"], &rows), "NAME      OF\nroutes/a  x\nb\n");
        assert_eq!(fields(&[("A", "1".into()), ("Long", "2".into())]), "A:     1\nLong:  2\n");
    }
}
