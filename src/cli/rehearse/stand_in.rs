//! What stands in for the providers of a rehearsal: for each route a definition of the simulator that can be asked about
//! texts in doubt what the route's own provider can be asked, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::config::Config;
use crate::daemon::routes;
use crate::dispatch::terms::Terms;
use crate::model::doubt::Rung;
use crate::provider::Catalog;
use crate::provider::definition::Definition;

/// The definition that all others are made from.
const SIMULATOR: &str = "simulator";

/// Lends the others its keys and its list.
const KEYED: &str = "simulator-keyed";

/// Arguments of a simulator that remembers keys for as long as the definition says that lends them.
pub(super) const REMEMBERS: [&str; 2] = ["--idempotent-for", "3600"];

/// What stands in for the provider of one route.
#[derive(Clone, Debug)]
pub(super) struct StandIn {
    /// The definition that is played.
    pub(super) plays: String,
    /// The provider that the route names.
    provider: String,
    /// What both can be asked about a text in doubt.
    doubt: Vec<Rung>,
}

/// What stands in for each route, by its name. Writes the definitions into `folder`, which must not exist yet.
pub(super) fn write(config: &Config, folder: &Path) -> anyhow::Result<BTreeMap<String, StandIn>> {
    let known = routes::catalog(config)?;
    let ours = Ours::read()?;
    std::fs::create_dir(folder)?;
    let mut all = BTreeMap::new();
    for (route, terms) in &config.routes {
        let own = known.get(&terms.provider).with_context(|| {
            format!(
                "route `{route}`: there is no provider `{}`; `winback provider list` shows what there is",
                terms.provider
            )
        })?;
        let plays = format!("{SIMULATOR}-{}", all.len() + 1);
        std::fs::write(folder.join(format!("{plays}.toml")), ours.definition(&plays, &own)?)?;
        all.insert(
            route.clone(),
            StandIn { plays, provider: terms.provider.clone(), doubt: own.doubt.clone() },
        );
    }
    Ok(all)
}

/// Those of the routes of a campaign, as people read them.
pub(super) fn words(all: &BTreeMap<String, StandIn>, terms: &Terms) -> Vec<String> {
    let used = terms.routes.iter().filter_map(|route| Some((&route.name, all.get(&route.name)?)));
    used.map(|(route, one)| {
        let asked = match &one.doubt[..] {
            [] => "as there, it answers no question about a text in doubt".to_owned(),
            rungs => {
                let rungs: Vec<&str> = rungs.iter().map(|rung| rung.as_str()).collect();
                format!("as there, a text in doubt is settled by {}, only sooner", rungs.join(" and "))
            }
        };
        format!(
            "route {route}: the simulator stands in for {}; {asked}. Its answers, receipts and requests are the simulator's own",
            one.provider
        )
    })
    .collect()
}

/// The same for machines.
pub(super) fn as_json(all: &BTreeMap<String, StandIn>, terms: &Terms) -> Vec<Value> {
    let used = terms.routes.iter().filter_map(|route| Some((&route.name, all.get(&route.name)?)));
    used.map(|(route, one)| {
        let doubt: Vec<&str> = one.doubt.iter().map(|rung| rung.as_str()).collect();
        json!({"route": route, "provider": one.provider, "plays": SIMULATOR, "doubt": doubt})
    })
    .collect()
}

/// The definitions of the simulator as they are compiled in: those of a user's own could give their names another meaning.
struct Ours {
    simulator: toml::Table,
    keyed: toml::Table,
}

impl Ours {
    fn read() -> anyhow::Result<Self> {
        let built = Catalog::builtin();
        let table = |name: &str| -> anyhow::Result<toml::Table> {
            Ok(toml::from_str(built.text(name).context("the simulator has no definition")?)?)
        };
        Ok(Self { simulator: table(SIMULATOR)?, keyed: table(KEYED)? })
    }

    /// The simulator, asked as `own` is.
    fn definition(&self, name: &str, own: &Definition) -> anyhow::Result<String> {
        let mut table = self.simulator.clone();
        table.insert("name".to_owned(), name.into());
        let rungs: Vec<toml::Value> = own.doubt.iter().map(|rung| rung.as_str().into()).collect();
        table.insert("doubt".to_owned(), rungs.into());
        let mut lend = |key: &str| -> anyhow::Result<()> {
            let lent = self.keyed.get(key).with_context(|| format!("{KEYED} has no `{key}`"))?;
            table.insert(key.to_owned(), lent.clone());
            Ok(())
        };
        if own.doubt.contains(&Rung::Replay) {
            lend("send")?;
        }
        if own.doubt.contains(&Rung::List) {
            lend("lookup")?;
        }
        let proves = own.lookup.as_ref().is_some_and(|lookup| lookup.authoritative);
        if !proves && let Some(lookup) = table.get_mut("lookup").and_then(toml::Value::as_table_mut) {
            lookup.remove("authoritative");
        }
        Ok(toml::to_string(&table)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_is_asked_what_the_provider_is_asked_and_its_silence_proves_as_little() {
        let (known, ours) = (Catalog::builtin(), Ours::read().expect("compiled in"));
        for name in known.names() {
            let own = known.get(name).expect("named");
            let folder = tempfile::tempdir().expect("a folder");
            let text = ours.definition("stand-in", &own).expect("made");
            std::fs::write(folder.path().join("stand-in.toml"), text).expect("written");
            let played =
                Catalog::with_folder(folder.path()).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
            let played = played.get("stand-in").expect("there");
            assert_eq!(played.doubt, own.doubt, "{name}");
            let proves = |one: &Definition| one.ask().is_some_and(|ask| ask.authoritative);
            assert_eq!(proves(&played), proves(&own), "{name}");
            assert_eq!(played.idempotent_for().is_some(), own.idempotent_for().is_some(), "{name}");
            assert_eq!(played.settings.keys().collect::<Vec<_>>(), ["base_url"], "{name}");
        }
    }
}
