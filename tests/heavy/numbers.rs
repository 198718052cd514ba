//! The README's numbers are those of the page.

use std::fs;

use anyhow::{Result, ensure};
use weir_lab::lambda::numbers::{in_short, readme};
use weir_lab::matrix::document::place;

#[test]
fn the_readme_says_what_was_measured() -> Result<()> {
    let page = fs::read_to_string(place("lambda-numbers.md"))?;
    let text = in_short(&page);
    ensure!(text.matches("\n- ").count() == 3, "{text}");
    let readme = fs::read_to_string(readme())?;
    ensure!(
        readme.contains(&format!("## Overhead\n\n{text}")),
        "the README's section Overhead is not that of the page: weir-lambda --write makes both"
    );
    Ok(())
}
