//! A guide as steps.

use anyhow::{Context, Result, bail};

const MARK: &str = "<!-- run -->";

/// What a guide has its reader do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) steps: Vec<Step>,
}

/// A step of a guide.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where its block begins, from 1.
    pub(super) line: usize,
    pub(super) what: What,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Commands, and lines that they must print.
    Type { commands: String, prints: Vec<String> },
    /// A file.
    Write { file: String, text: String },
}

impl Page {
    /// The steps of a guide that is to be run; `None`: it is not.
    ///
    /// # Errors
    /// Where a block has no end, or says what is printed with nothing typed before it.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        if !text.lines().any(|line| line.trim() == MARK) {
            return Ok(None);
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let mut block = Vec::new();
            loop {
                match lines.next() {
                    None => bail!("the block in line {} has no end", at + 1),
                    Some((_, "```")) => break,
                    Some((_, line)) => block.push(line.to_owned()),
                }
            }
            take(&mut steps, at + 1, info.trim(), block)?;
        }
        Ok(Some(Self { steps }))
    }
}

fn take(steps: &mut Vec<Step>, line: usize, info: &str, block: Vec<String>) -> Result<()> {
    let what = match info.split_once(' ') {
        None if info == "sh" => What::Type { commands: block.join("\n"), prints: Vec::new() },
        None if info == "text" => {
            let typed = steps.last_mut().map(|step| &mut step.what);
            let Some(What::Type { prints, .. }) = typed else {
                bail!("line {line} says what is printed, and nothing was typed");
            };
            prints.extend(block.into_iter().filter(|line| !line.trim().is_empty()));
            return Ok(());
        }
        Some((_, file)) => What::Write { file: file.to_owned(), text: block.join("\n") + "\n" },
        None => return Ok(()),
    };
    steps.push(Step { line, what });
    Ok(())
}

/// Whether lines come in a text, in their order; blanks count as one.
///
/// # Errors
/// The first that does not come.
pub(super) fn comes(lines: &[String], text: &str) -> Result<()> {
    let mut printed = text.lines().map(squeezed);
    for line in lines {
        let wanted = squeezed(line);
        printed
            .find(|line| is_like(line, &wanted))
            .with_context(|| format!("{line:?} does not come, in its place, in:\n{text}"))?;
    }
    Ok(())
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line is as wanted, where `…` stands for anything.
fn is_like(line: &str, wanted: &str) -> bool {
    let mut parts: Vec<_> = wanted.split('…').collect();
    let last = if parts.len() > 1 { parts.pop() } else { None };
    let mut rest = line;
    for (i, part) in parts.into_iter().enumerate() {
        match rest.find(part) {
            Some(at) if i > 0 || at == 0 => rest = rest.get(at + part.len()..).unwrap_or_default(),
            _ => return false,
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_steps_in_their_order() {
        let text = "# A\n<!-- run -->\n```yaml a.yaml\nkind: A\n```\n```sh\nls\n```\nIt says:\n```text\na.yaml\n\n```\n\
                    ```\nnot looked at\n```\n";
        let page = Page::parse(text).expect("parses").expect("is run");
        let write = What::Write { file: "a.yaml".into(), text: "kind: A\n".into() };
        let typed = What::Type { commands: "ls".into(), prints: vec!["a.yaml".into()] };
        assert_eq!(page.steps, [Step { line: 3, what: write }, Step { line: 6, what: typed }]);
    }

    #[test]
    fn a_guide_without_the_mark_is_not_run_and_a_torn_one_is_refused() {
        assert_eq!(Page::parse("```sh\nls\n```\n").expect("parses"), None);
        assert!(Page::parse("<!-- run -->\n```sh\nls\n").is_err());
        assert!(Page::parse("<!-- run -->\n```text\na\n```\n").is_err());
    }

    #[test]
    fn lines_must_come_in_their_order() {
        let lines = |all: &[&str]| all.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let text = "NAME      AGE\nroutes/a  3s\nend";
        assert!(comes(&lines(&["NAME AGE", "routes/a …s"]), text).is_ok());
        assert!(comes(&lines(&["routes/a …", "…nd"]), text).is_ok());
        assert!(comes(&lines(&["end", "NAME AGE"]), text).is_err());
        assert!(comes(&lines(&["routes/a 4…"]), text).is_err());
        assert!(
            comes(&lines(&["r…s…a…"]), "routes/a").is_ok() && comes(&lines(&["r…x…a"]), "routes/a").is_err()
        );
        assert!(comes(&lines(&["{…a…}"]), "{b, {a}, c}").is_ok(), "the end is the line's");
        assert!(comes(&lines(&["NAME"]), text).is_err(), "a line counts as a whole");
    }
}
