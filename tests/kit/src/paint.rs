//! Colour where it is wanted, plain text everywhere else.

/// A way to set text off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings and the verdict.
    Bold,
    /// Side remarks.
    Dim,
    /// All is well.
    Good,
    /// Something is not.
    Bad,
}

/// Whether text is coloured at all.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// False for files, pipes, dumb terminals and under `NO_COLOR`.
    pub colour: bool,
}

impl Paint {
    /// `text` in `style`. Widths are measured before, escapes have none.
    pub fn apply(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Good => 32,
            Style::Bad => 31,
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
