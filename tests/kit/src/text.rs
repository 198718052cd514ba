//! Paragraphs as people read them in a terminal.

/// Columns of a line of text.
pub const WIDTH: usize = 80;

/// Breaks `text` between words into indented lines of at most `WIDTH` columns.
pub fn wrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let columns = lines.last().map_or(0, |line| line.chars().count());
        if columns > 0 && columns + 1 + word.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "  " } else { " " });
            line.push_str(word);
        }
    }
    lines.join("\n")
}
