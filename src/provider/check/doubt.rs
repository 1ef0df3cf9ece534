//! Checks `doubt`: which of a provider's means are used for what is in doubt, and in which order.

use super::Checker;
use crate::model::doubt::Rung;
use crate::provider::complaint::KeyPath;
use crate::provider::definition::Lookup;
use crate::provider::format::RungWord;

impl Checker<'_> {
    /// The rungs as they are declared; whoever has means must say whether they are used.
    pub(super) fn doubt(&mut self, lookup: Option<&Lookup>) -> Vec<Rung> {
        let path = KeyPath::root().key("doubt");
        let replay = self.file.send.idempotent_by.map(|_| Rung::Replay);
        let mut means: Vec<Rung> = lookup.map(Lookup::rung).into_iter().chain(replay).collect();
        means.sort_unstable();
        let Some(words) = &self.file.doubt else {
            if !means.is_empty() {
                let list: Vec<String> = means.iter().map(|rung| format!("{:?}", rung.as_str())).collect();
                let problem =
                    format!("is missing; write doubt = [{}], or [] to ask nothing", list.join(", "));
                self.complaints.add(&path, problem);
            }
            return Vec::new();
        };
        let rungs: Vec<Rung> = words.iter().map(|word| rung(*word)).collect();
        if !rungs.is_sorted_by(|first, second| first < second) {
            self.complaints.add(&path, "each rung stands once, in the order lookup, replay, list");
        }
        for rung in rungs.iter().filter(|rung| !means.contains(rung)) {
            let needs = match rung {
                Rung::Lookup => "`lookup` needs [lookup] with match_by = \"reference\"",
                Rung::Replay => "`replay` needs send.idempotent_by and send.idempotent_seconds",
                Rung::List => "`list` needs [lookup] with match_by = \"content\"",
            };
            self.complaints.add(&path, needs);
        }
        rungs
    }
}

fn rung(word: RungWord) -> Rung {
    match word {
        RungWord::Lookup => Rung::Lookup,
        RungWord::Replay => Rung::Replay,
        RungWord::List => Rung::List,
    }
}
