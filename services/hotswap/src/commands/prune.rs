//! `hotswap apply --prune`: what bears the labels and is in no document goes. It is made hard to do by mistake:
//! there is no pruning without labels, every document must bear them, what is to go is shown and confirmed before
//! anything is written, nothing goes unless every document was applied, and nothing that has changed meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, IsTerminal as _, Write as _};

use hotswap_api::route::v1::{Certificate, Pool, Route};
use hotswap_core::{Ids as _, SystemIds};

use super::get;
use crate::cli::Apply;
use crate::client::Api;
use crate::exit::Failure;
use crate::manifest::Manifest;
use crate::output::{self, Format, View};
use crate::resource::{Delete, Resource};
use crate::style::{Tone, paint};

/// Names that a refusal has, and those that the question has: a question about thousands must stay readable.
const LISTED: usize = 10;
const ASKED: usize = 20;

/// The first names of many, and how many more there are.
fn first(names: &[&str], most: usize, between: &str) -> String {
    let shown = names.iter().take(most).copied().collect::<Vec<_>>().join(between);
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown}{between}and {more} more"),
    }
}

/// What is to go: names and etags, in this order.
#[derive(Default)]
pub(super) struct Prune {
    routes: Vec<(String, String)>,
    pools: Vec<(String, String)>,
    certificates: Vec<(String, String)>,
    dry_run: bool,
}

/// Labels that must all be there.
struct Selector(Vec<(String, String)>);

impl Selector {
    fn parse(text: &str) -> Result<Self, Failure> {
        let pair = |part: &str| match part.trim().split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                Ok((key.to_owned(), value.to_owned()))
            }
            _ => Err(Failure::usage(format!(
                "--selector \"{text}\": give it as KEY=VALUE, or several with commas"
            ))),
        };
        text.split(',').map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn takes(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    fn filter(&self) -> String {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let parts: Vec<_> = self.0.iter().map(|(k, v)| format!("labels.{k} = \"{}\"", quoted(v))).collect();
        parts.join(" AND ")
    }
}

impl Prune {
    /// What is to go, confirmed. Nothing, where that was not asked for.
    pub(super) async fn prepare(args: &Apply, manifest: &Manifest, api: &Api) -> Result<Self, Failure> {
        let Some(selector) = args.selector.as_deref().filter(|_| args.prune) else {
            return Ok(Self::default());
        };
        let selector = Selector::parse(selector)?;
        let labelled = manifest.pools.iter().map(|p| (&p.name, &p.labels));
        let labelled = labelled.chain(manifest.certificates.iter().map(|c| (&c.name, &c.labels)));
        let labelled = labelled.chain(manifest.routes.iter().map(|r| (&r.name, &r.labels)));
        let mut kept = HashSet::new();
        for (name, labels) in labelled {
            if !selector.takes(labels) {
                let why =
                    format!("{name} does not bear the labels of --selector, so the next run would prune it");
                return Err(Failure::usage(why));
            }
            kept.insert(name.as_str());
        }
        let prune = Self {
            routes: rest::<Route>(api, &selector, &kept).await?,
            pools: rest::<Pool>(api, &selector, &kept).await?,
            certificates: rest::<Certificate>(api, &selector, &kept).await?,
            dry_run: args.dry_run,
        };
        let by_file = !args.documents.files.iter().any(|file| file.as_os_str() == "-");
        if !prune.is_empty() && !args.dry_run && !args.yes {
            prune.confirm(by_file)?;
        }
        Ok(prune)
    }

    fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().chain(&self.pools).chain(&self.certificates).map(|(name, _)| name.as_str())
    }

    fn confirm(&self, may_ask: bool) -> Result<(), Failure> {
        let names: Vec<_> = self.names().collect();
        let refused = || {
            let list = first(&names, LISTED, ", ");
            Failure::usage(format!("nothing was applied: this would delete {list}"))
                .hint("--yes agrees to that")
        };
        if !may_ask || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(refused());
        }
        let mut asked = io::stderr().lock();
        // Where the question can't be shown, no answer comes either.
        let _ = write!(asked, "This will delete:\n  {}\nGo on? [y/N] ", first(&names, ASKED, "\n  "));
        let _ = asked.flush();
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(|_| refused())?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::usage("nothing was applied"))
        }
    }

    /// Deletes it: routes first, since a pool can't go while a route sends requests or copies to it.
    pub(super) async fn run(self, api: &Api, view: View) -> Result<(), Failure> {
        for (name, etag) in &self.routes {
            self.delete::<Route>(api, name, etag, view).await?;
        }
        for (name, etag) in &self.pools {
            self.delete::<Pool>(api, name, etag, view).await?;
        }
        for (name, etag) in &self.certificates {
            self.delete::<Certificate>(api, name, etag, view).await?;
        }
        Ok(())
    }

    async fn delete<R: Resource>(
        &self,
        api: &Api,
        name: &str,
        etag: &str,
        view: View,
    ) -> Result<(), Failure> {
        if !self.dry_run {
            let delete = Delete {
                name: name.to_owned(),
                etag: etag.to_owned(),
                validate_only: false,
                allow_missing: true,
                request_id: SystemIds.uuid().to_string(),
            };
            R::delete(api, delete).await.map_err(|status| Failure::from(status).about(name))?;
        }
        let dry = if self.dry_run { " (dry run)" } else { "" };
        match view.format {
            Format::Table | Format::Wide => {
                output::line(&format!("{name} {}{dry}", paint("pruned", Tone::Bad, view.colours)))
            }
            // The others show what is there.
            Format::Json | Format::Yaml | Format::Name => Ok(()),
        }
    }
}

/// What bears the labels and is not kept.
async fn rest<R: Resource>(
    api: &Api,
    selector: &Selector,
    kept: &HashSet<&str>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut items = get::all::<R>(api, &selector.filter(), "", None).await?;
    items.retain(|item| !kept.contains(item.name()));
    Ok(items.into_iter().map(|item| (item.name().to_owned(), item.etag().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_pairs_that_must_all_hold() {
        let selector = Selector::parse("team=web, tier=\"1\"").expect("fits");
        assert_eq!(selector.filter(), "labels.team = \"web\" AND labels.tier = \"\\\"1\\\"\"");
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        assert!(Selector::parse("team=web").expect("fits").takes(&labels(&[("team", "web"), ("a", "b")])));
        assert!(!selector.takes(&labels(&[("team", "web")])));
        for bad in ["", "team", "team=", "=web", "team=web,"] {
            assert!(Selector::parse(bad).is_err(), "{bad:?}");
        }
    }
}
