//! Tables as text for the screen and as Markdown.

use std::fmt::Write as _;

use anyhow::Result;

/// One row of a table.
pub(crate) type Row = Vec<String>;

/// Columns of equal width, aligned to the right.
pub(crate) fn aligned(rows: &[Row]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  "))
    };
    rows.iter().map(line).collect()
}

/// A Markdown table; the first row is its head.
pub(crate) fn pipes(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        writeln!(text, "| {} |", row.join(" | "))?;
        if number == 0 {
            writeln!(text, "|{}", "---|".repeat(row.len()))?;
        }
    }
    Ok(text)
}
