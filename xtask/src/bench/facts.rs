//! What a table must say of the machine that made it.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::process::output;

/// Facts of the machine.
pub(crate) struct Facts {
    date: String,
    cpu: String,
    cores: usize,
    kernel: String,
}

impl Facts {
    /// Gathers them.
    pub(crate) async fn gather() -> Result<Self> {
        let mut date = Command::new("date");
        date.args(["-u", "+%Y-%m-%d"]);
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let (model, cores) = parse_cpuinfo(&cpu);
        Ok(Self {
            date: output(date).await?.trim().to_owned(),
            cpu: model,
            cores,
            kernel: format!("Linux {}", release.trim()),
        })
    }

    /// One list item a fact.
    pub(crate) fn lines(&self) -> String {
        let Self { date, cpu, cores, kernel } = self;
        format!("- date: {date}\n- machine: {cpu}, {cores} cores, {kernel}, loopback\n")
    }
}

/// The model, and how many cores there are.
fn parse_cpuinfo(text: &str) -> (String, usize) {
    let values = |name: &'static str| {
        text.lines().filter_map(|l| l.split_once(':')).filter(move |(n, _)| n.trim() == name)
    };
    let model = values("model name").next().map_or("unknown CPU", |(_, v)| v.trim());
    (model.to_owned(), values("processor").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_cores_are_read() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\n\nprocessor\t: 1\nmodel name\t: Some CPU\n";
        assert_eq!(parse_cpuinfo(text), ("Some CPU".to_owned(), 2));
        assert_eq!(parse_cpuinfo(""), ("unknown CPU".to_owned(), 0));
    }
}
